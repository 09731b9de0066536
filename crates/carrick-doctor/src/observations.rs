//! What was observed: the pages of all agents, and when they were asked for.

use std::collections::BTreeMap;

use carrick_status::{ChecksPage, StatusPage};
use carrick_topology::{NodeName, NodePlan};

/// What was observed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations {
    /// The agents, by node: all that there should be.
    pub agents: BTreeMap<NodeName, Agent>,
    /// Why nobody answers who was looked for elsewhere than on a known node, by where that was.
    pub unidentified: BTreeMap<String, String>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Agent {
    /// It answered.
    Answered(Box<Pages>),
    /// It did not; the reason.
    Unreachable(String),
}

/// What an agent answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pages {
    /// Its page `/status`.
    pub status: StatusPage,
    /// When the page `/checks` was asked for, by the clock of whoever asks.
    pub asked: TimeRange,
    /// Its page `/checks`; absent when the agent gives none.
    pub checks: Option<ChecksPage>,
    /// The page `/checks` again, some seconds later; see [`crate::needs_second_sample`].
    pub later: Option<ChecksPage>,
}

/// A time between two others, in milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// Not before this.
    pub from_ms: u64,
    /// Not after this.
    pub to_ms: u64,
}

impl Observations {
    /// The agents that answered.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (&NodeName, &Pages)> {
        self.agents.iter().filter_map(|(name, agent)| match agent {
            Agent::Answered(pages) => Some((name, &**pages)),
            Agent::Unreachable(_) => None,
        })
    }

    /// What the agent of a node answered.
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
