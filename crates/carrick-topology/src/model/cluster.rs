//! The cluster as one node knows it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{LocationName, Mesh, Node, NodeName, Peer, PeerName, Warning};

/// All nodes and peers, and the settings that nodes share.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The nodes.
    pub nodes: BTreeMap<NodeName, Node>,
    /// The outside devices.
    pub peers: BTreeMap<PeerName, Peer>,
    /// The object `Mesh`; `None` if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<Mesh>,
    /// Pod CIDRs that each node of the cluster had until recently: no packet to them leaves in clear.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", rename = "former_pod_cidrs_of_nodes")]
    pub former_pod_cidrs: BTreeMap<NodeName, BTreeSet<IpNet>>,
    /// Internal addresses (as /32 and /128) and allowed-location CIDRs that a node of the cluster had until recently, each with the location
    /// that had it last: no packet from other locations to them leaves in clear.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former_networks: BTreeMap<IpNet, LocationName>,
    /// Those of the former networks that agents alone say were internal addresses of their nodes: how many of one agent count is limited.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former_addresses_of_agents: BTreeMap<NodeName, BTreeSet<IpNet>>,
    /// Values that were ignored when the objects were parsed.
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
