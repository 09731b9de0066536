//! The gateways of a location of which no agent has a plan here, as the plans of other locations name them.

use std::collections::BTreeSet;

use carrick_topology::plan::{PathKind, WireGuardPeer};
use carrick_topology::{NodeName, NodePlan};

use super::gateways::{Gateways, Views, some};
use crate::health::is_node;
use crate::snapshot::{Agent, Answer, Snapshot};

/// The views of all agents that have tunnels to the location.
pub(super) fn views(snapshot: &Snapshot, location: &str) -> Views {
    let mut views = Views::new();
    for (agent, page) in snapshot.pages() {
        let Some(plan) = page.plan.as_deref() else { continue };
        let gateways = gateways(plan, location, &page.liveness.down);
        if gateways != Gateways::default() {
            views.entry(gateways).or_default().insert(agent.name.clone());
        }
    }
    views
}

/// Why no agent of the location has a plan here, for people.
pub(super) fn reason(snapshot: &Snapshot) -> String {
    let asked = || snapshot.agents.iter().filter(|agent| !matches!(agent.answer, Answer::NoAgent));
    if asked().any(|agent| agent.plan().is_none()) {
        return "no agent there answers with a plan".to_owned();
    }
    let names: BTreeSet<String> = asked().map(|agent: &Agent| agent.name.clone()).collect();
    format!("only {} {} asked", some(&names), if names.len() == 1 { "was" } else { "were" })
}

/// The gateways of another location in a plan: those that carry networks, and those that could.
fn gateways(plan: &NodePlan, location: &str, down: &BTreeSet<NodeName>) -> Gateways {
    let mut gateways = Gateways::default();
    let tunnels = plan.probes.targets.iter().filter(|(_, target)| target.kind == PathKind::Tunnel);
    for (node, _) in tunnels.filter(|(_, target)| target.location.as_str() == location) {
        let peer = plan.wireguard.peers.values().find(|peer| is_node(&peer.identity, node.as_str()));
        match peer {
            Some(peer) if carries_networks(plan, node, peer) => gateways.active.insert(node.to_string()),
            Some(_) if !down.contains(node) => gateways.standby.insert(node.to_string()),
            Some(_) | None => false,
        };
    }
    gateways
}

/// Whether a peer carries more than its own mesh addresses, which each gateway does for the probes.
fn carries_networks(plan: &NodePlan, node: &NodeName, peer: &WireGuardPeer) -> bool {
    let own = plan.probes.members.get(node).map(|member| &member.mesh_addresses);
    let is_own = |net: &ipnet::IpNet| own.is_some_and(|own| own.iter().any(|address| *net == (*address).into()));
    peer.allowed_ips.iter().any(|net| !is_own(net))
}
