//! The UDP ports on which nodes serve the mesh, and who may send to them.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::constants::{HANDOVER_PORT, PROBE_PORT, VXLAN_PORT};

/// Protects the UDP ports of the mesh on all nodes: WireGuard, VXLAN, handover and probes.
///
/// Only nodes open flows to these ports. A node sends through the mesh with its mesh address, and beside the mesh without being forwarded
/// from a pod. So a packet to one of the ports at one of the addresses is dropped if it comes from a pod of this node, or out of the mesh
/// with a source that is no mesh address: from a pod of another node, an outside peer, or a network of another location. No forwarded flow gets
/// such a port as its translated source, so no packet to one is a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeshPorts {
    /// The ports.
    pub ports: BTreeSet<u16>,
    /// The addresses at which nodes serve the ports: the mesh CIDRs and the internal addresses of all nodes.
    pub addresses: BTreeSet<IpNet>,
    /// The sources that may come out of the mesh: the mesh CIDRs.
    pub senders: BTreeSet<IpNet>,
}

impl MeshPorts {
    /// The ports besides that of WireGuard. Packets to them are authenticated by the addresses between which they go.
    pub const BESIDES_WIREGUARD: [u16; 3] = [VXLAN_PORT, HANDOVER_PORT, PROBE_PORT];

    /// All ports of a node whose WireGuard device listens on this one.
    #[must_use]
    pub fn of(wireguard: u16) -> BTreeSet<u16> {
        Self::BESIDES_WIREGUARD.into_iter().chain([wireguard]).collect()
    }
}
