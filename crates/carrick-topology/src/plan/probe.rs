//! Which nodes a node probes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{LocationName, NodeName};

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

/// Which nodes are probed from one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// The nodes.
    pub targets: BTreeMap<NodeName, ProbeTarget>,
    /// The number of nodes in the location, this one included: all of them probe its gateways.
    pub location_size: usize,
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
    /// The largest packet to it that the devices of this node permit, in bytes.
    pub device_mtu: u32,
}
