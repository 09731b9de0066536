//! The cluster as one node knows it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Warning;
use crate::model::{Node, NodeName, Peer, PeerName};

/// All nodes and peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The nodes.
    pub nodes: BTreeMap<NodeName, Node>,
    /// The outside devices.
    pub peers: BTreeMap<PeerName, Peer>,
    /// What had to be left out already when the objects were read.
    #[serde(default)]
    pub warnings: BTreeSet<Warning>,
}

impl Cluster {
    /// Adds a node, or replaces the one of this name.
    pub fn insert_node(&mut self, node: Node) {
        self.nodes.insert(node.name.clone(), node);
    }

    /// Adds a peer, or replaces the one of this name.
    pub fn insert_peer(&mut self, peer: Peer) {
        self.peers.insert(peer.name.clone(), peer);
    }
}

/// What probes say of the nodes. A node that is not named counts as live.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liveness {
    /// Nodes that answer nobody.
    pub down: BTreeSet<NodeName>,
    /// Gateways that count again in a moment, or have just begun to. Those of other locations: what they will carry is accepted encapsulated.
    /// Those of the own one: whoever stood by meanwhile keeps its tunnels.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub returning: BTreeSet<NodeName>,
    /// Gateways of other locations that take encapsulated, at present, what this node forwards to them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub decapsulating: BTreeMap<NodeName, Decapsulation>,
}

/// Whether encapsulated packets reach a gateway that would take them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decapsulation {
    /// It says that it takes them.
    Offered,
    /// One of full size has passed: no firewall stands between.
    Proven,
}

impl Liveness {
    /// These nodes are down, and none is about to return.
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
