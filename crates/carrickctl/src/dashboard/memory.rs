//! The names and locations of agents that no longer answer.

use std::collections::BTreeMap;
use std::path::PathBuf;

use carrick_topology::LocationName;

use crate::snapshot::Snapshot;

/// The last known names of agents behind sockets, and the last known locations of nodes.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    names: BTreeMap<PathBuf, String>,
    locations: BTreeMap<String, LocationName>,
}

impl Memory {
    /// Stores the names and locations in a snapshot, and restores the names of agents that do not answer.
    pub fn learn(&mut self, snapshot: &mut Snapshot) {
        for agent in &mut snapshot.agents {
            if let Some(plan) = agent.plan() {
                self.locations.insert(agent.name.clone(), plan.location.name.clone());
            }
            match &agent.socket {
                Some(socket) if agent.page().is_some() => {
                    self.names.insert(socket.clone(), agent.name.clone());
                }
                Some(socket) => agent.name = self.names.get(socket).unwrap_or(&agent.name).clone(),
                None => {}
            }
        }
    }

    /// The last known location of a node.
    pub(super) fn location(&self, node: &str) -> Option<&LocationName> {
        self.locations.get(node)
    }
}
