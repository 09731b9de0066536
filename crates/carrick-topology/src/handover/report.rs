//! What the prober tells the planner.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::NodeName;

/// The handovers that are under way, as one node's prober sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverReport {
    /// Gateways that traffic returns to: from a little before they count as live until the handover is over.
    ///
    /// A gateway of another location: this node accepts encapsulated packets from it. A gateway of the own location: the nodes that were
    /// gateways in its place keep their tunnels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub returning: BTreeSet<NodeName>,
    /// Gateways that traffic leaves because they drain: from a little before they count as down until the handover is over.
    ///
    /// A gateway of another location: this node accepts encapsulated packets from the gateways that take over.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub draining: BTreeSet<NodeName>,
    /// Gateways of other locations that accept encapsulated packets from this node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub decapsulating: BTreeMap<NodeName, Decapsulation>,
}

/// Whether encapsulated packets reach a gateway that accepts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decapsulation {
    /// The gateway says that it accepts them.
    Offered,
    /// An encapsulated probe of full size was answered: no firewall between the two gateways drops them.
    Proven,
}
