//! The state of the mesh at one moment: the answers of all agents, and the objects.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use carrick_kube::agents::AgentPod;
use carrick_kube::objects::Objects;
use carrick_status::StatusPage;
use carrick_topology::{Cluster, NodePlan, Settings};

use crate::failure::Failure;
use crate::fetch_error::FetchError;

/// The answers of all agents at one moment, and the objects that the agents work from.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The agents, by name: one for each Node, or one for each given socket.
    pub agents: Vec<Agent>,
    /// Nodes and Peers; `None` if only sockets were asked.
    pub objects: Option<Objects>,
}

/// An agent and its answer.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The name of the agent's node, or the path of its socket if the node is not known.
    pub name: String,
    /// The agent's pod, if it was asked through the API server.
    pub pod: Option<AgentPod>,
    /// The agent's socket, if it was asked through a socket.
    pub socket: Option<PathBuf>,
    /// The answer.
    pub answer: Answer,
    /// The time from the request to the answer.
    pub took: Duration,
}

/// The answer of an agent.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The page `/status`.
    Page(Box<StatusPage>),
    /// The agent cannot be reached.
    Unreachable(FetchError),
    /// No agent is expected: the node takes no part in the mesh.
    NoAgent,
}

impl Agent {
    /// The agent's page, if it answered.
    #[must_use]
    pub fn page(&self) -> Option<&StatusPage> {
        match &self.answer {
            Answer::Page(page) => Some(page),
            Answer::Unreachable(_) | Answer::NoAgent => None,
        }
    }

    /// The plan on the agent's page, if there is one.
    #[must_use]
    pub fn plan(&self) -> Option<&NodePlan> {
        self.page()?.plan.as_deref()
    }

    /// Why the agent cannot be reached, if it should be there and cannot be reached.
    #[must_use]
    pub const fn error(&self) -> Option<&FetchError> {
        match &self.answer {
            Answer::Unreachable(error) => Some(error),
            Answer::Page(_) | Answer::NoAgent => None,
        }
    }
}

impl Snapshot {
    /// The agents that answered, with their pages, by name.
    pub fn pages(&self) -> impl Iterator<Item = (&Agent, &StatusPage)> {
        self.agents.iter().filter_map(|agent| Some((agent, agent.page()?)))
    }

    /// The agents that cannot be reached, with the errors for people.
    #[must_use]
    pub fn unreachable(&self) -> BTreeMap<String, String> {
        self.agents.iter().filter_map(|agent| Some((agent.name.clone(), agent.error()?.to_string()))).collect()
    }

    /// The cluster that the objects describe; empty if there are no objects.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let label = self.pages().find_map(|(_, page)| Some(page.settings.as_ref()?.topology_label.clone()));
        let label = label.unwrap_or_else(|| Settings::default().topology_label);
        self.objects.as_ref().map(|objects| objects.cluster(&label)).unwrap_or_default()
    }

    /// Checks that a node from the command line exists.
    ///
    /// # Errors
    /// The node does not exist.
    pub fn require(&self, node: Option<&str>) -> Result<(), Failure> {
        match node {
            Some(name) if self.agent(name).is_none() => {
                let names: Vec<_> = self.agents.iter().map(|agent| agent.name.as_str()).take(10).collect();
                Err(Failure::Usage(format!(
                    "there is no node `{name}` with an agent; the nodes are: {}",
                    names.join(", ")
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The agent of a node.
    #[must_use]
    pub fn agent(&self, node: &str) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.name == node)
    }
}
