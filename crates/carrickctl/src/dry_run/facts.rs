//! A plan as a set of lines, so that two plans can be compared.

use std::collections::BTreeSet;

use carrick_topology::NodePlan;
use carrick_topology::handover::HandoverPlan;
use carrick_topology::plan::{NextHop, WireGuardPeer};

use crate::health::name_of;
use crate::status::role;

/// The content of a plan, one line for each item: devices, peers, routes and firewall sets.
#[must_use]
pub fn facts(plan: &NodePlan) -> BTreeSet<String> {
    let mut facts = BTreeSet::from([
        format!("role {}", role(plan.location.role)),
        format!("device {} mtu {} port {}", plan.wireguard.device, plan.wireguard.mtu, plan.wireguard.port),
        format!("device {} mtu {}", plan.vxlan.device, plan.vxlan.mtu),
        format!("pods' mtu {}", plan.pod_mtu),
    ]);
    facts.extend(plan.location.gateway.iter().map(|gateway| format!("gateway {gateway}")));
    facts.extend(plan.mesh_addresses.iter().map(|address| format!("mesh address {address}")));
    facts.extend(plan.wireguard.peers.values().flat_map(peer));
    facts.extend(
        plan.vxlan
            .neighbours
            .iter()
            .map(|(name, neighbour)| format!("neighbour {name} at {}", neighbour.internal_address)),
    );
    facts.extend(plan.routes.iter().map(|route| {
        let next_hop = match &route.next_hop {
            NextHop::WireGuard => format!("dev {}", plan.wireguard.device),
            NextHop::Vxlan { via } => format!("via {via} dev {}", plan.vxlan.device),
            NextHop::Direct { via, device } => format!("via {via} dev {device}"),
            NextHop::Unreachable => return format!("route unreachable {}", route.destination),
            NextHop::Throw => return format!("route throw {}", route.destination),
        };
        let source = route.source.map(|source| format!(" src {source}")).unwrap_or_default();
        let mtu = route.mtu.map(|mtu| format!(" mtu {mtu}")).unwrap_or_default();
        format!("route {} {next_hop}{source}{mtu}", route.destination)
    }));
    facts.extend(plan.handover.iter().flat_map(handover));
    facts.extend(firewall(plan));
    facts
}

fn peer(peer: &WireGuardPeer) -> Vec<String> {
    let name = name_of(&peer.identity);
    let endpoint = peer.endpoint.map_or_else(|| "without endpoint".to_owned(), |endpoint| format!("at {endpoint}"));
    let keepalive = peer.persistent_keepalive.map(|seconds| format!(", keepalive {seconds}s")).unwrap_or_default();
    let summary = format!("peer {name} {endpoint}{keepalive}");
    std::iter::once(summary).chain(peer.allowed_ips.iter().map(|net| format!("peer {name} allowed {net}"))).collect()
}

fn handover(plan: &HandoverPlan) -> Vec<String> {
    let senders = plan.senders.keys().map(|name| format!("encapsulated from {name}"));
    let routes = plan.routes.iter().map(|route| format!("encapsulated route {} via {}", route.destination, route.via));
    let exceptions = plan.exceptions.iter().map(|net| format!("encapsulated route throw {net}"));
    senders.chain(routes).chain(exceptions).collect()
}

fn firewall(plan: &NodePlan) -> Vec<String> {
    let firewall = &plan.firewall;
    let mut facts: Vec<String> =
        firewall.vxlan_sources.iter().map(|address| format!("firewall vxlan from {address}")).collect();
    for (device, nets) in &firewall.carried_by {
        facts.extend(nets.iter().map(|net| format!("firewall {net} only by {device}")));
    }
    let carried_by_no_device =
        firewall.carried.iter().filter(|net| !firewall.carried_by.values().any(|nets| nets.contains(net)));
    facts.extend(carried_by_no_device.map(|net| format!("firewall {net} by no device")));
    facts.extend(firewall.direct.iter().map(|net| format!("firewall {net} outside the mesh")));
    facts.extend(
        firewall.allowed_location.destinations.iter().map(|net| format!("firewall {net} leaves the mesh here")),
    );
    let inside = firewall.location_internal_addresses.iter();
    facts.extend(inside.map(|address| format!("firewall {address} is inside the location")));
    facts
}

/// The lines of one plan that the other plan does not have.
pub(super) fn difference(of: Option<&NodePlan>, against: Option<&NodePlan>) -> BTreeSet<String> {
    let [of, against] = [of, against].map(|plan| plan.map(facts).unwrap_or_default());
    of.difference(&against).cloned().collect()
}

/// The warnings of the second plan that the first plan does not have.
pub(super) fn new_warnings(before: Option<&NodePlan>, after: Option<&NodePlan>) -> BTreeSet<String> {
    let [before, after] = [before, after].map(|plan| plan.map(|plan| plan.warnings.clone()).unwrap_or_default());
    after.difference(&before).map(ToString::to_string).collect()
}
