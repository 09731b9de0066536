//! What probes say of the nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::handover::HandoverReport;
use crate::model::{LocationName, NodeName};

/// What one node's probes say of the others. A node that is not named counts as live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liveness {
    /// Nodes that do not answer, or do not reach their own location or other locations.
    pub down: BTreeSet<NodeName>,
    /// Those of them that this node alone does not reach, as far as it knows: gateways of other locations whose tunnel to this node is broken.
    /// Packets to them go through another gateway of their location.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub bypassed: BTreeSet<NodeName>,
    /// Those of them that drain: other gateways carry their traffic because a person wants that.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub drained: BTreeSet<NodeName>,
    /// Locations of which this node reaches no gateway, each with the gateway that reaches one: of this node's location or of a third one.
    /// Packets to the location go through that gateway.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detours: BTreeMap<LocationName, NodeName>,
    /// Traffic that moves to gateways that come back, and away from those that drain.
    #[serde(flatten)]
    pub handover: HandoverReport,
}

impl Liveness {
    /// These nodes are down, and no handover is under way.
    #[must_use]
    pub fn without(down: impl IntoIterator<Item = NodeName>) -> Self {
        Self { down: down.into_iter().collect(), ..Self::default() }
    }

    /// Whether a node counts as live.
    #[must_use]
    pub fn is_live(&self, node: &NodeName) -> bool {
        !self.down.contains(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::Decapsulation;

    #[test]
    fn json_shows_handovers_beside_the_nodes_that_are_down_and_only_while_there_are_any() {
        let name = |text: &str| text.parse::<NodeName>().unwrap();
        let calm = Liveness::without([name("a1")]);
        assert_eq!(serde_json::to_string(&calm).unwrap(), r#"{"down":["a1"]}"#);
        let handover = HandoverReport {
            returning: [name("a1")].into(),
            draining: [name("a2")].into(),
            decapsulating: [(name("b1"), Decapsulation::Proven)].into(),
        };
        let busy = Liveness { handover, bypassed: [name("a1")].into(), ..calm };
        let json =
            r#"{"down":["a1"],"bypassed":["a1"],"returning":["a1"],"draining":["a2"],"decapsulating":{"b1":"proven"}}"#;
        assert_eq!(serde_json::to_string(&busy).unwrap(), json);
        assert_eq!(serde_json::from_str::<Liveness>(json).unwrap(), busy);
    }
}
