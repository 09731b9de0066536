//! The connection to the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::response::Parts;
use http::{StatusCode, Uri};
use hyper_util::client::legacy::connect::HttpInfo;
use kube::{Client, Config};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::connections::Connections;
use crate::connector;
use crate::kubeconfig::{self, KubeconfigFault, config_of, set_proxy};
use crate::proxy::ProxyError;

/// No server makes us wait longer than this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// An address that was last used so much earlier than the latest one is not in use: watches last half of this.
const IN_USE: Duration = Duration::from_secs(600);

/// The address and credentials of the API server.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// A kubeconfig file; without one the service account that Kubernetes gives to a pod, then `$KUBECONFIG`.
    pub kubeconfig: Option<PathBuf>,
    /// The URL of the API server instead of the one found; certificates and tokens stay those found.
    pub api_server: Option<String>,
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No configuration names an API server.
    #[error(
        "no API server is known: this process does not run in a pod, and neither --kubeconfig nor $KUBECONFIG is set"
    )]
    NoConfiguration,
    /// The service account of the pod cannot be used.
    #[error("cannot use the pod's service account; is automountServiceAccountToken off? {0}")]
    ServiceAccount(#[source] kube::config::InClusterError),
    /// A kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigFault),
    /// The proxy of the environment cannot be used.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// `--api-server` is not a URL.
    #[error("`{0}` is not the URL of an API server; write `https://HOST:PORT`")]
    Url(String),
    /// The credentials cannot be used.
    #[error("cannot make a client of the API server's configuration: {0}")]
    Client(#[source] kube::Error),
}

/// A client of the API server, and what is known of the connection.
#[derive(Clone)]
pub struct ApiClient {
    client: Client,
    pace: Arc<ServerPace>,
    servers: Arc<Servers>,
    connections: Connections,
}

impl ApiClient {
    /// Makes a client. Sends no request.
    ///
    /// Tokens are read from their file again each minute, so that a bound token that Kubernetes rotates never expires in use.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let mut config = find_config(options).await?;
        if let Some(url) = &options.api_server {
            config.cluster_url = server_url(url)?;
        }
        Self::from_config(config)
    }

    /// Makes a client as kubectl does: of the kubeconfig named, else of `$KUBECONFIG`, else of `~/.kube/config`; of the context named,
    /// else of the current one. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Kubeconfig`] or [`ClientError::Client`].
    pub async fn of_person(kubeconfig: Option<&Path>, context: Option<&str>) -> Result<Self, ClientError> {
        Self::from_config(config_of(kubeconfig::read(kubeconfig)?, context).await?)
    }

    /// Makes a client of a configuration that the caller made.
    ///
    /// # Errors
    /// [`ClientError::Client`].
    pub fn from_config(mut config: Config) -> Result<Self, ClientError> {
        let agent = HeaderValue::from_static(concat!("carrick/", env!("CARGO_PKG_VERSION")));
        config.headers.push((USER_AGENT, agent));

        let pace = Arc::new(ServerPace::default());
        let servers = Arc::new(Servers::new(literal_address(&config.cluster_url)));
        let observer = (pace.clone(), servers.clone());
        let observe = move |response: &Parts| {
            observer.0.heed(response.status, &response.headers, Instant::now());
            if let Some(info) = response.extensions.get::<HttpInfo>() {
                observer.1.observe(info.remote_addr().ip(), Instant::now());
            }
        };
        let connections = Connections::default();
        let client = connector::client(&config, &connections, observe).map_err(ClientError::Client)?;
        Ok(Self { client, pace, servers, connections })
    }

    /// Uses a client of the caller. The state of its connection is not known.
    #[must_use]
    pub fn from_client(client: Client) -> Self {
        Self {
            client,
            pace: Arc::default(),
            servers: Arc::new(Servers::new(None)),
            connections: Connections::default(),
        }
    }

    /// The client itself.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The pause that the server last requested.
    #[must_use]
    pub fn pace(&self) -> Arc<ServerPace> {
        self.pace.clone()
    }

    /// The addresses at which the API server is reached, for [`carrick_topology::model::LocalFacts::api_servers`]: the address in its
    /// URL, and those that connections were made to.
    #[must_use]
    pub fn server_addresses(&self) -> watch::Receiver<BTreeSet<IpAddr>> {
        self.servers.in_use.subscribe()
    }

    /// Waits after a failure: for a time, or until the host's network changes, and as long as the server wants in any case.
    pub(crate) async fn pause(&self, time: Duration) {
        let mut changes = self.connections.network_changes();
        tokio::select! {
            () = sleep(time) => {}
            _ = changes.changed() => {}
        }
        sleep(self.pace.remaining(Instant::now())).await;
    }

    /// The open connections.
    #[must_use]
    pub const fn connections(&self) -> &Connections {
        &self.connections
    }
}

async fn find_config(options: &ClientOptions) -> Result<Config, ClientError> {
    let kubeconfig = match &options.kubeconfig {
        Some(path) => kubeconfig::read(Some(path))?,
        None if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() => {
            let mut config = Config::incluster_env().map_err(ClientError::ServiceAccount)?;
            set_proxy(&mut config, None)?;
            return Ok(config);
        }
        None => kubeconfig::from_variable()?.ok_or(ClientError::NoConfiguration)?,
    };
    Ok(config_of(kubeconfig, None).await?)
}

fn server_url(text: &str) -> Result<Uri, ClientError> {
    let invalid = || ClientError::Url(text.to_owned());
    let url: Uri = text.parse().map_err(|_| invalid())?;
    let is_http = matches!(url.scheme_str(), Some("https" | "http"));
    if is_http && url.host().is_some_and(|host| !host.is_empty()) { Ok(url) } else { Err(invalid()) }
}

fn literal_address(url: &Uri) -> Option<IpAddr> {
    url.host()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// The time before which the server wants no request (`Retry-After`, RFC 9110 §10.2.3). It holds for all requests.
#[derive(Debug, Default)]
pub struct ServerPace {
    not_before: Mutex<Option<Instant>>,
}

impl ServerPace {
    /// The remaining pause.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Duration {
        let not_before = *lock(&self.not_before);
        not_before.map(|time| time.saturating_duration_since(now)).unwrap_or_default()
    }

    fn heed(&self, status: StatusCode, headers: &HeaderMap, now: Instant) {
        if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return;
        }
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        if let Some(seconds) = seconds {
            let wait = Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER);
            let mut not_before = lock(&self.not_before);
            *not_before = (*not_before).max(Some(now + wait));
        }
    }
}

/// The addresses at which the server is reached.
#[derive(Debug)]
struct Servers {
    literal: Option<IpAddr>,
    last_used: Mutex<BTreeMap<IpAddr, Instant>>,
    in_use: watch::Sender<BTreeSet<IpAddr>>,
}

impl Servers {
    fn new(literal: Option<IpAddr>) -> Self {
        let in_use = watch::Sender::new(literal.into_iter().collect());
        Self { literal, last_used: Mutex::default(), in_use }
    }

    fn observe(&self, address: IpAddr, now: Instant) {
        let mut last_used = lock(&self.last_used);
        last_used.insert(address, now);
        last_used.retain(|_, used| now.saturating_duration_since(*used) <= IN_USE);
        let addresses: BTreeSet<_> = last_used.keys().copied().chain(self.literal).collect();
        drop(last_used);
        self.in_use.send_if_modified(|before| {
            let differs = *before != addresses;
            *before = addresses;
            differs
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_wish_to_wait_is_heeded_within_reason() {
        let pace = ServerPace::default();
        let now = Instant::now();
        let headers = |value: &str| HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(value).unwrap())]);
        pace.heed(StatusCode::OK, &headers("9"), now);
        pace.heed(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), now);
        pace.heed(StatusCode::TOO_MANY_REQUESTS, &headers("Fri, 31 Dec 1999 23:59:59 GMT"), now);
        assert_eq!(pace.remaining(now), Duration::ZERO);
        pace.heed(StatusCode::TOO_MANY_REQUESTS, &headers("9"), now);
        pace.heed(StatusCode::SERVICE_UNAVAILABLE, &headers("3"), now);
        assert_eq!(pace.remaining(now + Duration::from_secs(4)), Duration::from_secs(5));
        pace.heed(StatusCode::SERVICE_UNAVAILABLE, &headers("86400"), now);
        assert_eq!(pace.remaining(now), LONGEST_RETRY_AFTER);
    }

    #[test]
    fn addresses_in_use_are_those_of_late() {
        let servers = Servers::new(Some("10.96.0.1".parse().unwrap()));
        let mut in_use = servers.in_use.subscribe();
        let start = Instant::now();
        let texts = |set: &BTreeSet<IpAddr>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&in_use.borrow()), ["10.96.0.1"]);
        servers.observe("192.0.2.1".parse().unwrap(), start);
        assert_eq!(texts(&in_use.borrow_and_update()), ["10.96.0.1", "192.0.2.1"]);
        servers.observe("192.0.2.1".parse().unwrap(), start + IN_USE / 2);
        assert!(!in_use.has_changed().unwrap());
        servers.observe("192.0.2.2".parse().unwrap(), start + IN_USE * 2);
        assert_eq!(texts(&in_use.borrow()), ["10.96.0.1", "192.0.2.2"]);
    }

    #[tokio::test]
    async fn a_pause_ends_when_the_network_changes_but_not_before_the_server_wants() {
        let config = Config::new("http://127.0.0.1:1".parse().unwrap());
        let api = ApiClient::from_config(config).unwrap();
        let hour = Duration::from_secs(3600);
        let pause = async || {
            let pausing = api.clone();
            let pause = tokio::spawn(async move { pausing.pause(hour).await });
            sleep(Duration::from_millis(50)).await;
            assert!(!pause.is_finished());
            api.connections().network_changed();
            tokio::time::timeout(Duration::from_secs(60), pause).await.is_ok()
        };
        assert!(pause().await);
        let began = Instant::now();
        let retry_after = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static("2"))]);
        api.pace().heed(StatusCode::TOO_MANY_REQUESTS, &retry_after, began);
        assert!(pause().await);
        assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[test]
    fn an_api_server_is_a_url() {
        assert_eq!(
            literal_address(&server_url("https://[2001:db8::1]:6443").unwrap()).unwrap().to_string(),
            "2001:db8::1"
        );
        assert_eq!(literal_address(&server_url("https://api.example").unwrap()), None);
        for bad in ["", "10.0.0.1", "10.0.0.1:6443", "ftp://x", "https://"] {
            assert!(server_url(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let options = ClientOptions { kubeconfig: Some("/nonexistent/config".into()), api_server: None };
        let error = ApiClient::new(&options).await.err().unwrap();
        assert!(error.to_string().contains("/nonexistent/config"), "{error}");
    }
}
