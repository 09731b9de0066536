//! What all agents said at one moment.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use carrick_kube::agents::AgentPod;
use carrick_kube::objects::Objects;
use carrick_status::StatusPage;
use carrick_topology::{Cluster, NodeName, NodePlan, Settings};

use crate::failure::Failure;

/// What all agents said at one moment, and the objects that they work from where these can be read.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The agents, by name: of all Nodes, or those behind the sockets that were named.
    pub agents: Vec<Agent>,
    /// Nodes and Peers; `None` where only sockets were asked.
    pub objects: Option<Objects>,
}

/// An agent, and what it said.
#[derive(Clone, Debug)]
pub struct Agent {
    /// What it is called in tables: its node, or its socket as long as it does not say who it is.
    pub name: String,
    /// Its pod, where the API says so.
    pub pod: Option<AgentPod>,
    /// Its socket, where it was asked through one.
    pub socket: Option<PathBuf>,
    /// What it said.
    pub answer: Answer,
    /// How long it took to say so.
    pub took: Duration,
}

/// What an agent said.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Its page.
    Page(Box<StatusPage>),
    /// Nothing, and why.
    Silence(String),
    /// Nobody expects one: the node takes no part in the mesh and has no agent.
    None,
}

impl Agent {
    /// Its page, if it gave one.
    #[must_use]
    pub fn page(&self) -> Option<&StatusPage> {
        match &self.answer {
            Answer::Page(page) => Some(page),
            Answer::Silence(_) | Answer::None => None,
        }
    }

    /// Its plan, if its page has one.
    #[must_use]
    pub fn plan(&self) -> Option<&NodePlan> {
        self.page()?.plan.as_deref()
    }
}

impl Survey {
    /// The pages, in the order of the nodes' names.
    pub fn pages(&self) -> impl Iterator<Item = (&Agent, &StatusPage)> {
        self.agents.iter().filter_map(|agent| Some((agent, agent.page()?)))
    }

    /// The plans in force, by node.
    #[must_use]
    pub fn plans(&self) -> BTreeMap<NodeName, NodePlan> {
        let plans = self.agents.iter().filter_map(Agent::plan);
        plans.map(|plan| (plan.node.clone(), plan.clone())).collect()
    }

    /// The cluster that the objects describe; empty where there are none.
    #[must_use]
    pub fn cluster(&self) -> Cluster {
        let label = self.pages().find_map(|(_, page)| Some(page.settings.as_ref()?.topology_label.clone()));
        let label = label.unwrap_or_else(|| Settings::default().topology_label);
        self.objects.as_ref().map(|objects| objects.cluster(&label)).unwrap_or_default()
    }

    /// Makes sure that a node which somebody named is there.
    ///
    /// # Errors
    /// It is not.
    pub fn require(&self, node: Option<&str>) -> Result<(), Failure> {
        match node {
            Some(name) if self.agent(name).is_none() => {
                let names: Vec<_> = self.agents.iter().map(|agent| agent.name.as_str()).take(10).collect();
                Err(Failure::Usage(format!(
                    "there is no node `{name}` whose agent could be asked; there are: {}",
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
