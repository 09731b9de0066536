//! What the picture shows of a topology.

use std::collections::BTreeMap;

use carrick_drawing::{Card, Diagram, Group, Inside, Line, Pair, Surroundings, Tunnel, pair};
use carrick_topology::plan::{PeerIdentity, Role};
use carrick_topology::{NodeName, NodePlan};

use crate::topology::{Location, RouterKind, Topology};

/// Puts together what the plans say.
pub(super) fn diagram(topology: &Topology, plans: &BTreeMap<NodeName, NodePlan>) -> Diagram {
    Diagram {
        locations: topology.locations.iter().map(|location| group(location, plans)).collect(),
        tunnels: plans.values().flat_map(|plan| tunnels(plan, plans)).collect(),
    }
}

fn group(location: &Location, plans: &BTreeMap<NodeName, NodePlan>) -> Group {
    let nodes: Vec<_> = location.nodes.iter().map(|node| (&node.name, plans.get(node.name.as_str()))).collect();
    Group {
        name: location.name.clone(),
        surroundings: match location.router {
            RouterKind::Open => Surroundings::Open,
            RouterKind::Nat => Surroundings::Nat,
            RouterKind::Symmetric => Surroundings::SymmetricNat,
        },
        inside: Inside::of(nodes.iter().filter_map(|(_, plan)| *plan)),
        nodes: nodes.into_iter().map(|(name, plan)| Card::of(name, plan)).collect(),
    }
}

fn tunnels(plan: &NodePlan, plans: &BTreeMap<NodeName, NodePlan>) -> Vec<(Pair, Line)> {
    let is_standby = |node: &NodeName| plans.get(node).is_some_and(|plan| plan.location.role == Role::Standby);
    let ends = plan.wireguard.peers.values().filter_map(|peer| match &peer.identity {
        PeerIdentity::Node(name) => Some(name),
        PeerIdentity::Outside(_) => None,
    });
    ends.map(|far| {
        let warm = is_standby(&plan.node) || is_standby(far);
        (pair(plan.node.as_str(), far.as_str()), Line::planned(if warm { Tunnel::Warm } else { Tunnel::Carrying }))
    })
    .collect()
}
