//! What stops a packet, for people: the route, the firewall rule, or WireGuard's allowed IPs.

use std::net::IpAddr;

use carrick_topology::NodePlan;
use carrick_topology::walk::{DropReason, Outcome, Walk};
use ipnet::IpNet;

use super::route::{route_text, route_to};
use crate::cluster_plan::ClusterPlan;
use crate::health::{is_node, name_of};
use crate::routes::cipher_route;
use crate::snapshot::{Agent, Snapshot};

/// Why the packet of a walk is dropped, if it is.
pub(super) fn of(cluster_plan: &ClusterPlan, walk: &Walk, destination: IpAddr) -> Option<String> {
    let Outcome::Dropped(node, reason) = &walk.outcome else { return None };
    let Some(plan) = cluster_plan.plans.get(node) else {
        return Some(format!("{node} is not in the mesh, or its plan is not known"));
    };
    Some(match reason {
        DropReason::UnreachableRoute => {
            let route = route_to(plan, destination).map(route_text).unwrap_or_default();
            format!(
                "{node}: the route `{route}` in Carrick's table: the mesh carries the destination, but has no path to it"
            )
        }
        DropReason::LeakGuard => format!(
            "{node}: the chain `leak-guard` of table inet carrick: the packet to {destination} would leave outside the mesh, or by another device than its route names"
        ),
        DropReason::NoPeer => no_peer(cluster_plan, plan, destination),
        DropReason::NoEndpoint => {
            let peer = peer_for(plan, destination).unwrap_or("the peer");
            format!("{node}: neither {node} nor {peer} has an endpoint that the other one can dial")
        }
        DropReason::SourceNotAllowed => source_not_allowed(cluster_plan, plan, walk.source, destination),
        DropReason::NoNeighbour => format!(
            "{node}: {} has no neighbour for {destination}, or the neighbour does not accept VXLAN from {node}",
            plan.vxlan.device
        ),
        DropReason::NoSource => format!("{node}: the node has no source address of this address family"),
        DropReason::Loop => "the packet loops".to_owned(),
    })
}

fn no_peer(cluster_plan: &ClusterPlan, plan: &NodePlan, destination: IpAddr) -> String {
    let node = &plan.node;
    match peer_for(plan, destination) {
        Some(peer) if !cluster_plan.plans.keys().any(|name| name.as_str() == peer) => {
            format!("{node}: WireGuard sends to {peer}, whose plan is not known: {peer} is gone or does not answer")
        }
        Some(peer) => format!("{node}: WireGuard sends to {peer}, which cannot receive the packet"),
        None => format!("{node}: no peer of {} has {destination} in its allowed IPs", plan.wireguard.device),
    }
}

fn source_not_allowed(
    cluster_plan: &ClusterPlan,
    plan: &NodePlan,
    source: Option<IpAddr>,
    destination: IpAddr,
) -> String {
    let node = &plan.node;
    let source_text = source.map(|source| source.to_string()).unwrap_or_default();
    let Some(peer) = peer_for(plan, destination) else {
        return format!("{node}: no node accepts the source {source_text}");
    };
    let receiver = cluster_plan.plans.iter().find(|(name, _)| name.as_str() == peer).map(|(_, plan)| plan);
    let knows_sender =
        |receiver: &NodePlan| receiver.wireguard.peers.values().any(|entry| is_node(&entry.identity, node.as_str()));
    match receiver {
        Some(receiver) if knows_sender(receiver) => {
            let owner = source.and_then(|source| peer_for(receiver, source));
            let owner = owner.map(|owner| format!(", which belongs to {owner}")).unwrap_or_default();
            format!("{peer}: the allowed IPs of {node} do not contain the source {source_text}{owner}")
        }
        Some(_) | None => format!("{peer}: {node} is not a peer"),
    }
}

/// The peer that has an address in its allowed IPs.
fn peer_for(plan: &NodePlan, address: IpAddr) -> Option<&str> {
    cipher_route(plan, &IpNet::from(address))
}

/// An allowed IP that is in the plan and that the device lacks.
pub(super) fn missing_allowed_ip(
    snapshot: &Snapshot,
    cluster_plan: &ClusterPlan,
    from: &str,
    to: &str,
    destination: IpAddr,
) -> Option<String> {
    let plan = cluster_plan.plan_of(from).ok()?;
    let page = snapshot.agent(from).and_then(Agent::page)?;
    let (key, planned) = plan.wireguard.peers.iter().find(|(_, peer)| name_of(&peer.identity) == to)?;
    let current = page.peers.get(key)?;
    let contains = |net: &IpNet| net.contains(&destination);
    (planned.allowed_ips.iter().any(contains) && !current.allowed_ips.iter().any(contains)).then(|| {
        format!("{from}: the device's peer {to} lacks {destination} in its allowed IPs, although the plan contains it")
    })
}
