//! Which nodes a node probes, and how it recognises their packets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{AgentVersion, Duty, LocationName, NodeName, PublicKey};

/// The kind of a path between two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// Through tunnels, to a mesh address.
    Tunnel,
    /// Inside the location, to an internal address.
    Inside,
}

impl PathKind {
    /// The other side of a gateway: a node that reaches it by one kind of path needs what the gateway reaches by the other.
    #[must_use]
    pub const fn other_side(self) -> Self {
        match self {
            Self::Tunnel => Self::Inside,
            Self::Inside => Self::Tunnel,
        }
    }
}

/// How the packets to a probed node leave this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Egress {
    /// By the route to its address.
    #[default]
    Route,
    /// By the WireGuard device, whatever the routes say: a network of the host contains the node's mesh address. The tunnel carries pods
    /// nevertheless, and both ends must find the same of it.
    Tunnel,
}

/// Which nodes are probed from one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// The nodes.
    pub targets: BTreeMap<NodeName, ProbeTarget>,
    /// The number of nodes in the location, this one included: all of them probe its gateways.
    pub location_size: usize,
    /// Whether the node serves as a gateway.
    #[serde(default)]
    pub duty: Duty,
    /// All other members of the mesh: each may send probes.
    #[serde(default)]
    pub members: BTreeMap<NodeName, ProbeMember>,
}

/// How the packets of another member of the mesh are recognised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeMember {
    /// Its WireGuard key, from which the code of each packet follows.
    pub public_key: PublicKey,
    /// The newest packets that its agent understands, as its node publishes.
    pub format: ProbeFormat,
    /// The mesh addresses that it has. An address that another member claims too is none of them.
    pub mesh_addresses: BTreeSet<IpAddr>,
}

/// A node that is probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeTarget {
    /// The node's location.
    pub location: LocationName,
    /// The kind of path to it.
    pub kind: PathKind,
    /// The address that sends.
    pub from: IpAddr,
    /// The address that is probed, of the same family.
    pub to: IpAddr,
    /// How packets leave to it.
    #[serde(default)]
    pub egress: Egress,
    /// The largest packet to it that the devices of this node permit, in bytes.
    pub device_mtu: u32,
}

/// A node with which this one exchanges probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbePeer {
    /// The kind of path by which its probes come.
    pub kind: PathKind,
    /// Its WireGuard key, from which the code of each packet follows.
    pub public_key: PublicKey,
    /// The newest packets that its agent understands, as its node publishes.
    pub format: ProbeFormat,
}

/// A version of the packets on the probe port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeFormat {
    /// Without a message authentication code: agents of protocol 1.
    V1,
    /// With a message authentication code: agents of protocol 2 and later ones.
    V2,
}

impl ProbeFormat {
    /// The newest version that a node's agent understands. An agent publishes its protocol together with its key, so that a node without a
    /// protocol has a value that its agent is about to repair.
    #[must_use]
    pub fn of(agent: Option<&AgentVersion>) -> Self {
        match agent.map(|agent| agent.protocol) {
            Some(..2) => Self::V1,
            Some(2..) | None => Self::V2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_of_protocol_1_get_packets_without_a_code() {
        let of = |protocol| {
            ProbeFormat::of(Some(&AgentVersion {
                version: "0.1.0".to_owned(),
                protocol,
                settings: String::new(),
                outside_mesh: Default::default(),
            }))
        };
        assert_eq!([0, 1, 2, 3].map(of), [ProbeFormat::V1, ProbeFormat::V1, ProbeFormat::V2, ProbeFormat::V2]);
        assert_eq!(ProbeFormat::of(None), ProbeFormat::V2);
    }
}
