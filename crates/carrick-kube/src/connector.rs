//! How requests reach the API server: TCP, the proxy, TLS, authorization.
//!
//! `kube` builds the same layers, but gives no access to the sockets.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Response, Uri};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::dns::GaiResolver;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connection, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::timeout::Timeout;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceBuilder};

use crate::connections::{Connections, RegisteredStream};

/// The timeout for a new connection, with TLS and the proxy's part.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The part of it for TCP. The addresses of a name share it, so that one that does not answer leaves time for the others.
const TCP_TIMEOUT: Duration = Duration::from_secs(8);
/// How long sent data may stay unacknowledged (`TCP_USER_TIMEOUT`), and how long a connection may be silent before the kernel asks whether the
/// other end is there.
const SILENCE: Duration = Duration::from_secs(30);
/// The interval of the kernel's questions to a silent end.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A client whose sockets `connections` knows. It calls `observe` with each response.
///
/// # Errors
/// The credentials or certificates of the configuration cannot be used.
pub(crate) fn client(
    config: &Config,
    connections: &Connections,
    observe: impl Fn(&http::response::Parts) + Clone + Send + Sync + 'static,
) -> Result<Client, kube::Error> {
    let tcp = TcpConnector::new(connections);
    let Some(proxy) = config.proxy_url.clone() else { return with_tls(config, tcp, observe) };
    match proxy.scheme_str() {
        Some("socks5") => with_tls(config, SocksV5::new(proxy, tcp), observe),
        Some("https") => {
            let tls = config.rustls_https_connector_with_connector(tcp)?;
            with_tls(config, tunnel(proxy, tls), observe)
        }
        Some(_) | None => with_tls(config, tunnel(proxy, tcp), observe),
    }
}

/// All layers above the connector, which gives a way to the API server or its proxy.
fn with_tls<C>(
    config: &Config,
    connector: C,
    observe: impl Fn(&http::response::Parts) + Clone + Send + Sync + 'static,
) -> Result<Client, kube::Error>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response: Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: std::error::Error + Send + Sync + 'static,
{
    let tls = config.rustls_https_connector_with_connector(connector)?;
    let limited = BoxCloneSyncService::new(Timeout::new(tls, CONNECT_TIMEOUT));
    let client: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(limited);
    let service = ServiceBuilder::new()
        .map_response(move |response: Response<_>| {
            let (parts, body) = response.into_parts();
            observe(&parts);
            Response::from_parts(parts, body)
        })
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}

/// A way through a proxy that understands CONNECT, with the name and password of its URL.
fn tunnel<C>(proxy: Uri, connector: C) -> Tunnel<C> {
    let user_info = proxy.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
    let authorization = user_info.and_then(|(user_info, _)| {
        HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(percent_decoded(user_info)))).ok()
    });
    let tunnel = Tunnel::new(proxy, connector);
    match authorization {
        Some(authorization) => tunnel.with_auth(authorization),
        None => tunnel,
    }
}

/// RFC 3986 §2.1. A `%` without two digits stands for itself.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |index: usize| char::from(*after.get(index)?).to_digit(16);
        let byte = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    decoded
}

/// Opens TCP connections and registers them.
#[derive(Clone, Debug)]
struct TcpConnector {
    http: HttpConnector,
    connections: Connections,
}

/// Why there is no TCP connection.
#[derive(Debug, thiserror::Error)]
enum TcpError {
    #[error(transparent)]
    Connect(<HttpConnector as Service<Uri>>::Error),
    #[error(transparent)]
    Register(std::io::Error),
}

/// Opens TCP connections to the addresses that the resolver gives, one after the other.
fn tcp<R>(resolver: R) -> HttpConnector<R> {
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    http.set_connect_timeout(Some(TCP_TIMEOUT));
    http.set_keepalive(Some(SILENCE));
    http.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    #[cfg(target_os = "linux")]
    http.set_tcp_user_timeout(Some(SILENCE));
    http
}

impl TcpConnector {
    fn new(connections: &Connections) -> Self {
        Self { http: tcp(GaiResolver::new()), connections: connections.clone() }
    }

    /// Connects. Starts again when the host's network changes: the address that the kernel chose for this connection may be lost.
    async fn connect(mut self, to: Uri) -> Result<TokioIo<RegisteredStream>, TcpError> {
        let mut changes = self.connections.network_changes();
        loop {
            changes.mark_unchanged();
            let stream = tokio::select! {
                stream = self.http.call(to.clone()) => stream.map_err(TcpError::Connect)?.into_inner(),
                _ = changes.changed() => continue,
            };
            let registered = self.connections.register(stream).map_err(TcpError::Register)?;
            // An address that was lost before its connection was registered has ended none.
            if !changes.has_changed().unwrap_or_default() {
                return Ok(TokioIo::new(registered));
            }
        }
    }
}

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<RegisteredStream>;
    type Error = TcpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(context).map_err(TcpError::Connect)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().connect(to))
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use std::net::SocketAddr;

    use socket2::SockRef;
    use tokio::net::TcpListener;

    use super::*;

    /// Without these options, the kernel keeps a connection whose other end has vanished for a quarter of an hour, and a silent one for ever.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_kernel_ends_a_connection_whose_other_end_has_vanished() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let stream = TcpConnector::new(&Connections::default()).call(url).await.unwrap().into_inner();
        let socket = SockRef::from(stream.tcp());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(SILENCE));
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), SILENCE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
    }

    /// The local ports from which this host asks for connections to a port that does not answer.
    #[cfg(target_os = "linux")]
    fn ports_in_syn_sent(remote_port: u16) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let asking = fields.filter(|line| line[2].ends_with(&format!(":{remote_port:04X}")) && line[3] == "02");
        asking.map(|line| line[1].to_owned()).collect()
    }

    /// One connection fills its queue, and the kernel answers no further one.
    #[cfg(target_os = "linux")]
    fn short_listener(address: SocketAddr) -> socket2::Socket {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        listener
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_of_a_name_that_does_not_answer_leaves_time_for_the_next_one() {
        let living = TcpListener::bind("127.0.0.3:0").await.unwrap();
        let port = living.local_addr().unwrap().port();
        let silent = SocketAddr::from(([127, 0, 0, 2], port));
        let full = short_listener(silent);
        let _first = tokio::net::TcpStream::connect(silent).await.unwrap();
        let resolver = tower::service_fn(move |_| async move {
            let addresses = [silent, SocketAddr::from(([127, 0, 0, 3], port))];
            Ok::<_, std::io::Error>(addresses.into_iter())
        });
        let url = format!("https://api.example:{port}").parse().unwrap();
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, tcp(resolver).call(url)).await;
        assert_eq!(connected.unwrap().unwrap().inner().peer_addr().unwrap().ip().to_string(), "127.0.0.3");
        drop(full);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_change_of_the_network_starts_a_connection_again_that_is_being_established() {
        let full = short_listener(([127, 0, 0, 1], 0).into());
        let address = full.local_addr().unwrap().as_socket().unwrap();
        let connections = Connections::default();
        let connect = || TcpConnector::new(&connections).call(format!("http://{address}").parse().unwrap());
        let _first = connect().await.unwrap();
        let second = tokio::spawn(connect());
        let eventually = async |is_so: &dyn Fn(&[String]) -> bool| loop {
            let ports = ports_in_syn_sent(address.port());
            if is_so(&ports) {
                return ports;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let before = eventually(&|ports| ports.len() == 1).await;
        connections.network_changed();
        let is_new = |ports: &[String]| ports.len() == 1 && ports != before;
        tokio::time::timeout(Duration::from_secs(60), eventually(&is_new)).await.expect("another attempt");
        second.abort();
    }

    #[test]
    fn the_name_and_password_of_a_proxy_are_decoded() {
        for (text, decoded) in
            [("u:p%40ss%3aword", "u:p@ss:word"), ("u:p", "u:p"), ("100%+A%", "100%+A%"), ("%4", "%4")]
        {
            assert_eq!(String::from_utf8(percent_decoded(text)).unwrap(), decoded);
        }
    }
}
