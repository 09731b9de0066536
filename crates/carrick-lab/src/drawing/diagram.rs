//! What a picture shows, without any place on it.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::plan::{NextHop, PeerIdentity, Role};
use carrick_topology::{NodeName, NodePlan};

use crate::topology::{Location, RouterKind, Topology};

/// All that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Diagram {
    pub(super) locations: Vec<Group>,
    pub(super) tunnels: BTreeMap<Pair, Tunnel>,
}

/// A location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) router: RouterKind,
    pub(super) inside: Inside,
    pub(super) nodes: Vec<Card>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) name: String,
    /// `None` when the node takes no part in the mesh.
    pub(super) role: Option<Role>,
    pub(super) mesh_address: String,
    pub(super) pod_cidr: String,
}

/// How pods' packets travel between nodes of one location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    /// In VXLAN, at least between some of them.
    Vxlan,
    /// As they are.
    Plain,
    /// Not at all, or in tunnels.
    Nothing,
}

/// Two nodes, the one whose name sorts first in front.
pub(super) type Pair = (String, String);

/// What a tunnel between two nodes is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tunnel {
    /// It is kept up for the day when one end's standby gateway has to step in.
    Warm,
    /// It carries traffic.
    Carrying,
}

impl Diagram {
    /// Puts together what the plans say.
    pub(super) fn new(topology: &Topology, plans: &BTreeMap<NodeName, NodePlan>) -> Self {
        Self {
            locations: topology.locations.iter().map(|location| group(location, plans)).collect(),
            tunnels: plans.values().flat_map(|plan| tunnels(plan, plans)).collect(),
        }
    }
}

fn group(location: &Location, plans: &BTreeMap<NodeName, NodePlan>) -> Group {
    let nodes: Vec<_> = location.nodes.iter().map(|node| (&node.name, plans.get(node.name.as_str()))).collect();
    let next_hops: BTreeSet<&NextHop> =
        nodes.iter().filter_map(|(_, plan)| *plan).flat_map(|plan| &plan.routes).map(|route| &route.next_hop).collect();
    let inside = if next_hops.iter().any(|next_hop| matches!(next_hop, NextHop::Vxlan { .. })) {
        Inside::Vxlan
    } else if next_hops.iter().any(|next_hop| matches!(next_hop, NextHop::Direct { .. })) {
        Inside::Plain
    } else {
        Inside::Nothing
    };
    Group {
        name: location.name.clone(),
        router: location.router,
        inside,
        nodes: nodes.into_iter().map(|(name, plan)| card(name, plan)).collect(),
    }
}

fn card(name: &str, plan: Option<&NodePlan>) -> Card {
    let first = |text: Option<String>| text.unwrap_or_default();
    Card {
        name: name.to_owned(),
        role: plan.map(|plan| plan.location.role),
        mesh_address: first(plan.and_then(|plan| plan.mesh_addresses.first()).map(ToString::to_string)),
        pod_cidr: first(plan.and_then(|plan| plan.pod_cidrs.first()).map(ToString::to_string)),
    }
}

fn tunnels(plan: &NodePlan, plans: &BTreeMap<NodeName, NodePlan>) -> Vec<(Pair, Tunnel)> {
    let is_standby = |node: &NodeName| plans.get(node).is_some_and(|plan| plan.location.role == Role::Standby);
    let ends = plan.wireguard.peers.values().filter_map(|peer| match &peer.identity {
        PeerIdentity::Node(name) => Some(name),
        PeerIdentity::Outside(_) => None,
    });
    ends.map(|far| {
        let warm = is_standby(&plan.node) || is_standby(far);
        let (low, high) = if plan.node < *far { (&plan.node, far) } else { (far, &plan.node) };
        ((low.to_string(), high.to_string()), if warm { Tunnel::Warm } else { Tunnel::Carrying })
    })
    .collect()
}
