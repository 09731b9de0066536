//! What agents said of themselves before they fell silent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use carrick_topology::LocationName;

use crate::snapshot::Snapshot;

/// Who is behind which socket, and where nodes stand.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    names: BTreeMap<PathBuf, String>,
    places: BTreeMap<String, LocationName>,
}

impl Memory {
    /// Takes over what a snapshot tells, and gives agents that are silent now the names that they had.
    pub fn learn(&mut self, snapshot: &mut Snapshot) {
        for agent in &mut snapshot.agents {
            if let Some(plan) = agent.plan() {
                let place = plan.location.name.clone();
                self.places.insert(agent.name.clone(), place);
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

    /// Where a node stood when it last said so.
    pub(super) fn place(&self, node: &str) -> Option<&LocationName> {
        self.places.get(node)
    }
}
