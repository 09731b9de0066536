//! The content of a picture.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::NodePlan;
use carrick_topology::plan::{NextHop, Role};

/// The content of a picture, in drawing order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagram {
    /// The locations.
    pub locations: Vec<LocationBox>,
    /// The tunnels between nodes.
    pub tunnels: BTreeMap<NodePair, TunnelLine>,
}

/// A location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationBox {
    /// The name of the location.
    pub name: String,
    /// The network address translation between the location and the internet.
    pub nat: NatKind,
    /// How pods' packets travel between the nodes of the location.
    pub inner_network: InnerNetwork,
    /// The nodes of the location.
    pub nodes: Vec<NodeBox>,
}

/// The network address translation between a location and the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatKind {
    /// No translation: nodes have public addresses.
    Public,
    /// Translation with an endpoint-independent mapping (RFC 4787 §4.1).
    Nat,
    /// Translation with another port for each destination.
    SymmetricNat,
    /// Not known.
    Unknown,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeBox {
    /// The name of the node.
    pub name: String,
    /// The role of the node in its location; `None` if the node is not in the mesh.
    pub role: Option<Role>,
    /// The first mesh address of the node.
    pub mesh_address: String,
    /// The first pod CIDR of the node.
    pub pod_cidr: String,
    /// The condition of the node.
    pub condition: Condition,
}

/// The condition of a node or tunnel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// No fault is known.
    #[default]
    Healthy,
    /// A fault is known.
    Broken,
}

/// How pods' packets travel between the nodes of one location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerNetwork {
    /// In VXLAN, at least between some of the nodes.
    Vxlan,
    /// Without encapsulation.
    Plain,
    /// Not at all, or in tunnels.
    None,
}

/// Two nodes; the one whose name sorts first is the first.
pub type NodePair = (String, String);

/// A tunnel between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelLine {
    /// What the tunnel is for.
    pub kind: TunnelKind,
    /// The condition of the tunnel.
    pub condition: Condition,
    /// The label of the line; empty for none.
    pub label: String,
}

/// What a tunnel between two nodes is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TunnelKind {
    /// The tunnel is up, but carries traffic only after a standby gateway at one of its ends has taken over.
    Standby,
    /// The tunnel carries traffic.
    Active,
}

impl TunnelLine {
    /// A tunnel of a plan, whose condition is not known.
    #[must_use]
    pub const fn planned(kind: TunnelKind) -> Self {
        Self { kind, condition: Condition::Healthy, label: String::new() }
    }
}

/// The [`NodePair`] of two names.
#[must_use]
pub fn node_pair(one: &str, other: &str) -> NodePair {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    (low.to_owned(), high.to_owned())
}

impl InnerNetwork {
    /// The inner network of a location, by the plans of its nodes.
    pub fn of<'a>(plans: impl IntoIterator<Item = &'a NodePlan>) -> Self {
        let next_hops: BTreeSet<&NextHop> =
            plans.into_iter().flat_map(|plan| &plan.routes).map(|route| &route.next_hop).collect();
        if next_hops.iter().any(|next_hop| matches!(next_hop, NextHop::Vxlan { .. })) {
            Self::Vxlan
        } else if next_hops.iter().any(|next_hop| matches!(next_hop, NextHop::Direct { .. })) {
            Self::Plain
        } else {
            Self::None
        }
    }
}

impl NodeBox {
    /// A node with its plan, if it has one.
    #[must_use]
    pub fn of(name: &str, plan: Option<&NodePlan>) -> Self {
        let first = |text: Option<String>| text.unwrap_or_default();
        Self {
            name: name.to_owned(),
            role: plan.map(|plan| plan.location.role),
            mesh_address: first(plan.and_then(|plan| plan.mesh_addresses.first()).map(ToString::to_string)),
            pod_cidr: first(plan.and_then(|plan| plan.pod_cidrs.first()).map(ToString::to_string)),
            condition: Condition::Healthy,
        }
    }
}
