//! What is shown.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::NodePlan;
use carrick_topology::plan::{NextHop, Role};

/// Everything on the picture, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagram {
    /// The locations.
    pub locations: Vec<Group>,
    /// The tunnels between nodes.
    pub tunnels: BTreeMap<Pair, Line>,
}

/// A location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What is between it and the internet.
    pub surroundings: Surroundings,
    /// How its nodes reach each other.
    pub inside: Inside,
    /// Its nodes.
    pub nodes: Vec<Card>,
}

/// What is between a location and the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surroundings {
    /// Nothing: its nodes can be dialled.
    Open,
    /// Network address translation.
    Nat,
    /// One that gives each connection another port.
    SymmetricNat,
    /// Nobody knows.
    Unknown,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// `None` when the node takes no part in the mesh.
    pub role: Option<Role>,
    /// Its first mesh address.
    pub mesh_address: String,
    /// Its first pod CIDR.
    pub pod_cidr: String,
    /// How it fares.
    pub condition: Condition,
}

/// How something fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Well, or nobody asked.
    #[default]
    Well,
    /// Not well.
    Broken,
}

/// How pods' packets travel between nodes of one location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inside {
    /// In VXLAN, at least between some of them.
    Vxlan,
    /// As they are.
    Plain,
    /// Not at all, or in tunnels.
    Nothing,
}

/// Two nodes, the one whose name sorts first in front.
pub type Pair = (String, String);

/// A tunnel between two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is for.
    pub tunnel: Tunnel,
    /// How it fares.
    pub condition: Condition,
    /// What is written on it; empty for nothing.
    pub label: String,
}

/// What a tunnel between two nodes is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tunnel {
    /// It is kept up for the day when one end's standby gateway has to step in.
    Warm,
    /// It carries traffic.
    Carrying,
}

impl Line {
    /// A tunnel that nobody has looked at.
    #[must_use]
    pub const fn planned(tunnel: Tunnel) -> Self {
        Self { tunnel, condition: Condition::Well, label: String::new() }
    }
}

/// Two names in the order of a [`Pair`].
#[must_use]
pub fn pair(one: &str, other: &str) -> Pair {
    let (low, high) = if one < other { (one, other) } else { (other, one) };
    (low.to_owned(), high.to_owned())
}

impl Inside {
    /// What the plans of a location's nodes say.
    pub fn of<'a>(plans: impl IntoIterator<Item = &'a NodePlan>) -> Self {
        let next_hops: BTreeSet<&NextHop> =
            plans.into_iter().flat_map(|plan| &plan.routes).map(|route| &route.next_hop).collect();
        if next_hops.iter().any(|next_hop| matches!(next_hop, NextHop::Vxlan { .. })) {
            Self::Vxlan
        } else if next_hops.iter().any(|next_hop| matches!(next_hop, NextHop::Direct { .. })) {
            Self::Plain
        } else {
            Self::Nothing
        }
    }
}

impl Card {
    /// A node by its plan, if it has one.
    #[must_use]
    pub fn of(name: &str, plan: Option<&NodePlan>) -> Self {
        let first = |text: Option<String>| text.unwrap_or_default();
        Self {
            name: name.to_owned(),
            role: plan.map(|plan| plan.location.role),
            mesh_address: first(plan.and_then(|plan| plan.mesh_addresses.first()).map(ToString::to_string)),
            pod_cidr: first(plan.and_then(|plan| plan.pod_cidrs.first()).map(ToString::to_string)),
            condition: Condition::Well,
        }
    }
}
