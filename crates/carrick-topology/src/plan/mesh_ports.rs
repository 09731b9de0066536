//! The UDP ports on which nodes serve the mesh, and who may send to them.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Protects the UDP ports of the mesh on all nodes: WireGuard, VXLAN, handover and probes.
///
/// Only nodes open flows to these ports. A node sends through the mesh with its mesh address, and beside the mesh without being forwarded
/// from a pod. So a packet to one of the ports at one of the addresses is dropped if it comes from a pod of this node, or out of the mesh
/// with a source that is no mesh address: from a pod of another node, an outside peer, or a network of another location. Replies pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshPorts {
    /// The ports.
    pub ports: BTreeSet<u16>,
    /// The addresses at which nodes serve the ports: the mesh CIDRs and the internal addresses of all nodes.
    pub addresses: BTreeSet<IpNet>,
    /// The sources that may come out of the mesh: the mesh CIDRs.
    pub senders: BTreeSet<IpNet>,
}
