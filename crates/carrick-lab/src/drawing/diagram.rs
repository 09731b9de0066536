//! The content of the picture.

use std::collections::BTreeMap;

use carrick_drawing::{
    Diagram, InnerNetwork, LocationBox, NatKind, NodeBox, NodePair, TunnelKind, TunnelLine, node_pair,
};
use carrick_topology::plan::{PeerIdentity, Role};
use carrick_topology::{NodeName, NodePlan};

use crate::topology::{Location, RouterKind, Topology};

/// The diagram of a topology with these plans.
pub(super) fn diagram(topology: &Topology, plans: &BTreeMap<NodeName, NodePlan>) -> Diagram {
    Diagram {
        locations: topology.locations.iter().map(|location| group(location, plans)).collect(),
        tunnels: plans.values().flat_map(|plan| tunnels(plan, plans)).collect(),
    }
}

fn group(location: &Location, plans: &BTreeMap<NodeName, NodePlan>) -> LocationBox {
    let nodes: Vec<_> = location.nodes.iter().map(|node| (&node.name, plans.get(node.name.as_str()))).collect();
    LocationBox {
        name: location.name.clone(),
        nat: match location.router {
            RouterKind::Open => NatKind::Public,
            RouterKind::Nat => NatKind::Nat,
            RouterKind::Symmetric => NatKind::SymmetricNat,
        },
        inner_network: InnerNetwork::of(nodes.iter().filter_map(|(_, plan)| *plan)),
        nodes: nodes.into_iter().map(|(name, plan)| NodeBox::of(name, plan)).collect(),
    }
}

fn tunnels(plan: &NodePlan, plans: &BTreeMap<NodeName, NodePlan>) -> Vec<(NodePair, TunnelLine)> {
    let is_standby = |node: &NodeName| plans.get(node).is_some_and(|plan| plan.location.role == Role::Standby);
    let ends = plan.wireguard.peers.values().filter_map(|peer| match &peer.identity {
        PeerIdentity::Node(name) => Some(name),
        PeerIdentity::Outside(_) => None,
    });
    ends.map(|far| {
        let warm = is_standby(&plan.node) || is_standby(far);
        (
            node_pair(plan.node.as_str(), far.as_str()),
            TunnelLine::planned(if warm { TunnelKind::Standby } else { TunnelKind::Active }),
        )
    })
    .collect()
}
