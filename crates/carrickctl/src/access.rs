//! Access to the agents: through the API server, through the agents' sockets, or to saved objects only.
//!
//! ```text
//! AccessOptions ──Access::open──▶ Access ──snapshot──▶ Snapshot: every agent's page, Nodes and Peers
//!                                        ──fetch─────▶ any page of one agent
//! ```

mod agent_socket;
mod cluster;
mod concurrency;
mod files;
pub(crate) mod http;
mod options;
mod sockets;
mod target;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use carrick_kube::objects::Objects;
use carrick_status::StatusPage;
use serde::de::DeserializeOwned;

pub use agent_socket::AgentSocket;
pub use files::read_all as read_files;
pub use options::AccessOptions;
pub(crate) use options::seconds;

use crate::failure::Failure;
use crate::fetch_error::FetchError;
use crate::snapshot::{Agent, Answer, Snapshot};
use cluster::ClusterAccess;
use target::{Connection, Target};

/// The socket of a node's agent.
pub const AGENT_SOCKET: &str = "/run/carrick/agent.sock";

/// The fraction of the timeout after which an agent without an answer no longer counts against the number of concurrent requests.
const PERMITS_IN_A_TIMEOUT: u32 = 10;

/// Access to the agents.
pub struct Access {
    transport: Transport,
    saved: Option<Objects>,
    timeout: Duration,
}

enum Transport {
    Cluster(Box<ClusterAccess>),
    Sockets(Vec<AgentSocket>),
    /// There are only saved objects.
    Offline,
}

impl Access {
    /// Chooses the transport by the options. It asks no agent yet.
    ///
    /// # Errors
    /// No API server is configured, or a file cannot be read.
    pub async fn open(options: &AccessOptions) -> Result<Self, Failure> {
        let saved = (!options.files.is_empty()).then(|| files::read_all(&options.files)).transpose()?;
        let mut sockets = options.sockets.clone();
        if options.local {
            sockets.push(PathBuf::from(AGENT_SOCKET).into());
        }
        let transport = if !sockets.is_empty() {
            Transport::Sockets(sockets)
        } else if saved.is_some() && options.kubeconfig.is_none() {
            Transport::Offline
        } else {
            Transport::Cluster(Box::new(ClusterAccess::open(options).await?))
        };
        Ok(Self { transport, saved, timeout: options.timeout })
    }

    /// Fetches the page `/status` of all agents. An agent that does not answer is in the snapshot with the error.
    ///
    /// # Errors
    /// The API server does not list Nodes and pods.
    pub async fn snapshot(&self) -> Result<Snapshot, Failure> {
        let (targets, objects) = match &self.transport {
            Transport::Cluster(cluster) => {
                let (targets, objects) = cluster.targets().await?;
                (targets, Some(self.saved.clone().unwrap_or(objects)))
            }
            Transport::Sockets(sockets) => {
                let target = |socket: &AgentSocket| Target {
                    name: socket.to_string(),
                    connection: Connection::Socket(socket.path.clone()),
                };
                (sockets.iter().map(target).collect(), self.saved.clone())
            }
            Transport::Offline => (Vec::new(), self.saved.clone()),
        };
        let mut agents = self.run_all(targets.into_iter().map(|target| self.ask(target))).await;
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Snapshot { agents, objects })
    }

    /// Runs requests to several agents, a limited number of them at the same time.
    pub(crate) async fn run_all<T>(&self, requests: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
        concurrency::run_all(self.timeout / PERMITS_IN_A_TIMEOUT, requests).await
    }

    /// Fetches a page of an agent, such as `/metrics`.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch(&self, agent: &Agent, page: &str) -> Result<Vec<u8>, FetchError> {
        let connection = match (&self.transport, &agent.pod, &agent.socket) {
            (Transport::Cluster(_), Some(pod), _) => Connection::Pod(pod.clone()),
            (Transport::Sockets(_), _, Some(socket)) => Connection::Socket(socket.clone()),
            (Transport::Cluster(_) | Transport::Sockets(_) | Transport::Offline, _, _) => Connection::NoAgent,
        };
        self.get(&connection, page).await
    }

    /// Fetches a page of an agent and parses it as JSON.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn fetch_json<T: DeserializeOwned>(&self, agent: &Agent, page: &str) -> Result<T, FetchError> {
        parse(&self.fetch(agent, page).await?)
    }

    /// Whether there are only saved objects, and no agent can be asked.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        matches!(self.transport, Transport::Offline)
    }

    /// The client of the API server, if the agents are asked through it.
    #[must_use]
    pub fn api_client(&self) -> Option<carrick_kube::client::ApiClient> {
        match &self.transport {
            Transport::Cluster(cluster) => Some(cluster.client()),
            Transport::Sockets(_) | Transport::Offline => None,
        }
    }

    async fn ask(&self, target: Target) -> Agent {
        let started = Instant::now();
        let answer = match &target.connection {
            Connection::NoAgent => Answer::NoAgent,
            connection => match self.get(connection, "/status").await.and_then(|body| parse::<StatusPage>(&body)) {
                Ok(page) => Answer::Page(Box::new(page)),
                Err(error) => Answer::Unreachable(error),
            },
        };
        let node = match &answer {
            Answer::Page(page) => page.node.as_ref().map(ToString::to_string),
            Answer::Unreachable(_) | Answer::NoAgent => None,
        };
        let (pod, socket) = match target.connection {
            Connection::Pod(pod) => (Some(pod), None),
            Connection::Socket(socket) => (None, Some(socket)),
            Connection::Impossible(_) | Connection::NoAgent => (None, None),
        };
        Agent { name: node.unwrap_or(target.name), pod, socket, answer, took: started.elapsed() }
    }

    async fn get(&self, connection: &Connection, page: &str) -> Result<Vec<u8>, FetchError> {
        let answer = async {
            match (connection, &self.transport) {
                (Connection::Pod(pod), Transport::Cluster(cluster)) => cluster.get(pod, page).await,
                (Connection::Socket(socket), _) => sockets::get(socket, page).await,
                (Connection::Impossible(error), _) => Err(error.clone()),
                (Connection::Pod(_) | Connection::NoAgent, _) => Err(FetchError::NoAgent),
            }
        };
        let late = |_| FetchError::Timeout(self.timeout);
        tokio::time::timeout(self.timeout, answer).await.map_err(late)?
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, FetchError> {
    serde_json::from_slice(body).map_err(|error| FetchError::Malformed(error.to_string()))
}
