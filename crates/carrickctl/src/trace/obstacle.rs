//! What ends a packet, in words: the rule, the route or the cipher route.

use std::net::IpAddr;

use carrick_topology::NodePlan;
use carrick_topology::plan::PeerIdentity;
use carrick_topology::walk::{DropReason, Outcome, Walk};
use ipnet::IpNet;

use super::{in_words, route_to};
use crate::cluster_plan::ClusterPlan;
use crate::health::name_of;
use crate::snapshot::{Agent, Snapshot};

/// Why a walk ends too early, if it does.
pub(super) fn of(cluster_plan: &ClusterPlan, walk: &Walk, destination: IpAddr) -> Option<String> {
    let Outcome::Dropped(node, reason) = &walk.outcome else { return None };
    let Some(plan) = cluster_plan.plans.get(node) else {
        return Some(format!("{node} takes no part in the mesh, or gave no plan"));
    };
    Some(match reason {
        DropReason::UnreachableRoute => {
            let route = route_to(plan, destination).map(in_words).unwrap_or_default();
            format!("{node}: the route `{route}` in Carrick's table: the mesh carries it and has no path there")
        }
        DropReason::LeakGuard => format!(
            "{node}: the chain `leak-guard` of table inet carrick: {destination} is carried by the mesh, and its route names another device"
        ),
        DropReason::NoPeer => no_peer(cluster_plan, plan, destination),
        DropReason::NoEndpoint => {
            let peer = peer_for(plan, destination).unwrap_or("the peer");
            format!("{node}: neither {node} nor {peer} has an endpoint that the other can dial")
        }
        DropReason::SourceNotAllowed => source_not_allowed(cluster_plan, plan, walk.source, destination),
        DropReason::NoNeighbour => format!(
            "{node}: {} has no neighbour for {destination}, or that one does not accept VXLAN from {node}",
            plan.vxlan.device
        ),
        DropReason::NoSource => format!("{node}: it has no address of this family to send from"),
        DropReason::Loop => "the packet goes in a circle".to_owned(),
    })
}

fn no_peer(cluster_plan: &ClusterPlan, plan: &NodePlan, destination: IpAddr) -> String {
    let node = &plan.node;
    match peer_for(plan, destination) {
        Some(peer) if !cluster_plan.plans.keys().any(|name| name.as_str() == peer) => {
            format!(
                "{node}: the cipher route leads to {peer}, of which no plan is known: it is gone or does not answer"
            )
        }
        Some(peer) => format!("{node}: the cipher route leads to {peer}, which cannot take it"),
        None => format!(
            "{node}: no cipher route: no peer of {} has {destination} among its allowed IPs",
            plan.wireguard.device
        ),
    }
}

fn source_not_allowed(
    cluster_plan: &ClusterPlan,
    plan: &NodePlan,
    source: Option<IpAddr>,
    destination: IpAddr,
) -> String {
    let source = source.map(|source| source.to_string()).unwrap_or_default();
    let Some(peer) = peer_for(plan, destination) else {
        return format!("{}: {source} is let in by no node", plan.node);
    };
    let receiver = cluster_plan.plans.iter().find(|(name, _)| name.as_str() == peer).map(|(_, plan)| plan);
    let entry = receiver.and_then(|receiver| {
        let mut peers = receiver.wireguard.peers.values();
        peers.find(|entry| entry.identity == PeerIdentity::Node(plan.node.clone()))
    });
    match (receiver, entry) {
        (Some(receiver), Some(_)) => format!(
            "{peer}: the cipher route: {} is not allowed {source} as source{}",
            plan.node,
            source
                .parse()
                .ok()
                .and_then(|source| peer_for(receiver, source))
                .map(|owner| format!(", which is {owner}'s"))
                .unwrap_or_default()
        ),
        (Some(_), None) | (None, _) => format!("{peer}: it has no peer {}", plan.node),
    }
}

/// The peer that has an address among its allowed IPs.
fn peer_for(plan: &NodePlan, address: IpAddr) -> Option<&str> {
    let holds = |net: &&IpNet| net.contains(&address);
    let peers = plan.wireguard.peers.values();
    let best =
        peers.filter_map(|peer| Some((peer.allowed_ips.iter().filter(holds).map(IpNet::prefix_len).max()?, peer)));
    best.max_by_key(|(length, _)| *length).map(|(_, peer)| name_of(&peer.identity))
}

/// A cipher route that the plan wants and the device has not.
pub(super) fn missing_cipher_route(
    snapshot: &Snapshot,
    cluster_plan: &ClusterPlan,
    from: &str,
    to: &str,
    destination: IpAddr,
) -> Option<String> {
    let plan = cluster_plan.plan_of(from).ok()?;
    let page = snapshot.agent(from).and_then(Agent::page)?;
    let (key, wanted) = plan.wireguard.peers.iter().find(|(_, peer)| name_of(&peer.identity) == to)?;
    let held = page.peers.get(key)?;
    let holds = |net: &IpNet| net.contains(&destination);
    (wanted.allowed_ips.iter().any(holds) && !held.allowed_ips.iter().any(holds)).then(|| {
        format!("{from}: the device's peer {to} lacks {destination} among its allowed IPs, which the plan wants")
    })
}
