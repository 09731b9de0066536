//! Ways to the agents: through the API server, on a node through their sockets, or none at all but files.
//!
//! ```text
//! AccessOptions ──Access::open──▶ Access ──survey──▶ Survey: every agent's page, and Nodes and Peers
//!                                        ──fetch───▶ any page of one agent
//! ```

mod cluster;
mod files;
mod http;
mod sockets;

pub use files::read_all as read_files;

use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use carrick_kube::agents;
use carrick_kube::objects::Objects;
use carrick_status::StatusPage;
use clap::Args;
use tokio::sync::Semaphore;

use crate::failure::Failure;
use crate::survey::{Agent, Answer, Survey};
use cluster::ClusterAccess;

/// Where the agent of a node has its socket.
pub const AGENT_SOCKET: &str = "/run/carrick/agent.sock";

/// How many agents are asked at the same time.
const AT_A_TIME: usize = 32;

/// The share of the timeout after which an agent that says nothing gives its place to the next.
const PLACES_IN_A_TIMEOUT: u32 = 10;

/// Which agents are asked, and how.
#[derive(Args, Clone, Debug)]
pub struct AccessOptions {
    /// The kubeconfig file [default: $KUBECONFIG, else ~/.kube/config].
    #[arg(long, global = true, value_name = "FILE", help_heading = "Access")]
    pub kubeconfig: Option<PathBuf>,
    /// The context in the kubeconfig [default: its current one].
    #[arg(long, global = true, value_name = "NAME", help_heading = "Access")]
    pub context: Option<String>,
    /// The namespace of the agents' pods.
    #[arg(long, global = true, value_name = "NAME", default_value = agents::NAMESPACE, help_heading = "Access")]
    pub namespace: String,
    /// Ask the agent of this node through its socket, without the API server.
    #[arg(long, global = true, help_heading = "Access")]
    pub local: bool,
    /// Ask the agent behind this socket, without the API server; may be repeated.
    #[arg(long = "socket", global = true, value_name = "PATH", help_heading = "Access")]
    pub sockets: Vec<PathBuf>,
    /// Nodes and Peers from a file instead of the API (YAML or JSON, as `kubectl get nodes,peers.carrick.dev -o yaml` writes them);
    /// may be repeated. Without sockets, no agent is asked.
    #[arg(short = 'f', long = "filename", global = true, value_name = "FILE", help_heading = "Access")]
    pub files: Vec<PathBuf>,
    /// How long an agent may take to answer, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "2", value_parser = seconds, help_heading = "Access")]
    pub timeout: Duration,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            namespace: agents::NAMESPACE.to_owned(),
            local: false,
            sockets: Vec::new(),
            files: Vec::new(),
            timeout: Duration::from_secs(2),
        }
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let text = text.strip_suffix('s').unwrap_or(text);
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "it is not a number of seconds above 0".to_owned())
}

/// A way to the agents.
pub struct Access {
    way: Way,
    saved: Option<Objects>,
    timeout: Duration,
}

enum Way {
    Cluster(Box<ClusterAccess>),
    Sockets(Vec<PathBuf>),
    None,
}

impl Access {
    /// Finds the way; of the agents, nobody is asked yet.
    ///
    /// # Errors
    /// No API server is known, or a file cannot be read.
    pub async fn open(options: &AccessOptions) -> Result<Self, Failure> {
        let saved = (!options.files.is_empty()).then(|| files::read_all(&options.files)).transpose()?;
        let mut sockets = options.sockets.clone();
        if options.local {
            sockets.push(AGENT_SOCKET.into());
        }
        let way = if !sockets.is_empty() {
            Way::Sockets(sockets)
        } else if saved.is_some() && options.kubeconfig.is_none() {
            Way::None
        } else {
            Way::Cluster(Box::new(ClusterAccess::open(options).await?))
        };
        Ok(Self { way, saved, timeout: options.timeout })
    }

    /// Asks all agents for their page `/status`, some at a time. One that does not answer is in the survey with the reason.
    ///
    /// # Errors
    /// The API server cannot be asked for Nodes and pods.
    pub async fn survey(&self) -> Result<Survey, Failure> {
        let (targets, objects) = match &self.way {
            Way::Cluster(cluster) => {
                let (targets, objects) = cluster.targets().await?;
                (targets, Some(self.saved.clone().unwrap_or(objects)))
            }
            Way::Sockets(sockets) => {
                let target = |socket: &PathBuf| Target {
                    name: socket.display().to_string(),
                    way: TargetWay::Socket(socket.clone()),
                };
                (sockets.iter().map(target).collect(), self.saved.clone())
            }
            Way::None => (Vec::new(), self.saved.clone()),
        };
        let asked = targets.into_iter().map(|target| self.ask(target));
        let mut agents = self.some_at_a_time(asked).await;
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Survey { agents, objects })
    }

    /// Asks agents, some at a time.
    pub(crate) async fn some_at_a_time<T>(&self, asked: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
        in_parallel(self.timeout / PLACES_IN_A_TIMEOUT, asked).await
    }

    /// Gets any page of an agent of a survey, such as `/metrics`.
    ///
    /// # Errors
    /// It does not answer, or not with success; the reason, in words.
    pub async fn fetch(&self, agent: &Agent, path: &str) -> Result<Vec<u8>, String> {
        let way = match (&self.way, &agent.pod) {
            (Way::Cluster(_), Some(pod)) => TargetWay::Pod(pod.clone()),
            (Way::Sockets(_), _) => TargetWay::Socket(agent.socket.clone().unwrap_or_default()),
            (Way::Cluster(_), None) | (Way::None, _) => TargetWay::None(String::from("there is no way to it")),
        };
        self.get(&way, path).await
    }

    /// Whether nothing but files is at hand.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        matches!(self.way, Way::None)
    }

    /// The access through the API server, where that is the way.
    #[must_use]
    pub fn api_client(&self) -> Option<carrick_kube::client::ApiClient> {
        match &self.way {
            Way::Cluster(cluster) => Some(cluster.client()),
            Way::Sockets(_) | Way::None => None,
        }
    }

    async fn ask(&self, target: Target) -> Agent {
        let started = Instant::now();
        let answer = match &target.way {
            TargetWay::Nobody => Answer::None,
            way => match self.get(way, "/status").await {
                Ok(body) => read_page(&body),
                Err(reason) => Answer::Silence(reason),
            },
        };
        let node = match &answer {
            Answer::Page(page) => page.node.as_ref().map(ToString::to_string),
            Answer::Silence(_) | Answer::None => None,
        };
        let (pod, socket) = match target.way {
            TargetWay::Pod(pod) => (Some(pod), None),
            TargetWay::Socket(socket) => (None, Some(socket)),
            TargetWay::None(_) | TargetWay::Nobody => (None, None),
        };
        Agent { name: node.unwrap_or(target.name), pod, socket, answer, took: started.elapsed() }
    }

    async fn get(&self, way: &TargetWay, path: &str) -> Result<Vec<u8>, String> {
        let answer = async {
            match (way, &self.way) {
                (TargetWay::Pod(pod), Way::Cluster(cluster)) => cluster.get(pod, path).await,
                (TargetWay::Socket(socket), _) => sockets::get(socket, path).await,
                (TargetWay::None(reason), _) => Err(reason.clone()),
                (TargetWay::Pod(_) | TargetWay::Nobody, _) => Err("there is no way to it".to_owned()),
            }
        };
        let late = |_| format!("no answer within {} s", self.timeout.as_secs_f64());
        tokio::time::timeout(self.timeout, answer).await.map_err(late)?
    }
}

/// An agent that will be asked.
struct Target {
    name: String,
    way: TargetWay,
}

enum TargetWay {
    Pod(agents::AgentPod),
    Socket(PathBuf),
    /// There should be an agent and is none; why.
    None(String),
    /// There should be no agent.
    Nobody,
}

fn read_page(body: &[u8]) -> Answer {
    match serde_json::from_slice::<StatusPage>(body) {
        Ok(page) => Answer::Page(Box::new(page)),
        Err(error) => Answer::Silence(format!("its page cannot be read: {error}")),
    }
}

/// Does all of this, some at a time. What takes long gives its place to the next, and is waited for all the same: those that will never
/// answer delay nobody.
async fn in_parallel<T>(place_for: Duration, work: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let places = &Semaphore::new(AT_A_TIME);
    let placed = work.into_iter().map(async |work| {
        let place = places.acquire().await;
        let mut work = pin!(work);
        match tokio::time::timeout(place_for, work.as_mut()).await {
            Ok(done) => done,
            Err(_) => {
                drop(place);
                work.await
            }
        }
    });
    futures::future::join_all(placed).await
}
