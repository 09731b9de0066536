//! Which nodes a node probes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{LocationName, NodeName};

/// Which way a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathKind {
    /// Over the mesh, to a mesh address.
    Tunnel,
    /// Inside the location, to an internal address.
    Inside,
}

impl PathKind {
    /// A gateway's other side: whoever meets it by one kind of path depends on what it hears by the other.
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
    /// How many nodes of the location share the attention of its gateways.
    pub crowd: usize,
}

/// A node that is probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeTarget {
    /// Where it stands.
    pub location: LocationName,
    /// Which way.
    pub kind: PathKind,
    /// The address that sends.
    pub from: IpAddr,
    /// The address that is probed, of the same family.
    pub to: IpAddr,
    /// The largest packet that this node's devices let through to it, in bytes.
    pub device_mtu: u32,
}
