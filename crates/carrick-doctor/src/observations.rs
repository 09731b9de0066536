//! The input of the checks: the pages of all agents, and when they were fetched.

use std::collections::BTreeMap;

use carrick_status::{ChecksPage, StatusPage};
use carrick_topology::{NodeName, NodePlan};

/// The pages of all agents.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// The expected agents, by node.
    pub agents: BTreeMap<NodeName, Agent>,
    /// The agents whose node is not known, by where they were looked for (for example a socket), and why each gives no node.
    pub unidentified: BTreeMap<String, String>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Agent {
    /// The agent answered.
    Answered(Box<Pages>),
    /// The agent did not answer; the reason.
    Unreachable(String),
}

/// The pages of an agent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pages {
    /// The page `/status`.
    pub status: StatusPage,
    /// When the page `/checks` was fetched, by the clock of the caller.
    pub asked: TimeRange,
    /// The page `/checks`; absent if the agent does not serve it.
    pub checks: Option<ChecksPage>,
    /// The page `/checks` some seconds later; see [`crate::needs_second_sample`].
    pub later: Option<ChecksPage>,
}

/// A range of time, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// The start of the range.
    pub from_ms: u64,
    /// The end of the range.
    pub to_ms: u64,
}

impl Observations {
    /// The agents that answered, by node.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (&NodeName, &Pages)> {
        self.agents.iter().filter_map(|(name, agent)| match agent {
            Agent::Answered(pages) => Some((name, &**pages)),
            Agent::Unreachable(_) => None,
        })
    }

    /// The pages of a node's agent, if it answered.
    pub(crate) fn pages(&self, node: &NodeName) -> Option<&Pages> {
        match self.agents.get(node)? {
            Agent::Answered(pages) => Some(pages),
            Agent::Unreachable(_) => None,
        }
    }
}

impl Pages {
    /// The plan in force.
    pub(crate) fn plan(&self) -> Option<&NodePlan> {
        self.status.plan.as_deref()
    }

    /// The latest page `/checks`.
    pub(crate) fn latest(&self) -> Option<&ChecksPage> {
        self.later.as_ref().or(self.checks.as_ref())
    }
}
