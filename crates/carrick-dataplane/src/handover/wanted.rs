//! What the kernel must hold for a handover.
//!
//! The outer packets have their own routes with the least MTU of all. A VXLAN device lowers the MTU of the inner route to what it finds for
//! the outer packet, locked or not, and the kernel would then refuse packets that pass with a fragmented outer packet. It lowers nothing if
//! less than the least MTU of IPv6 would remain (`__ip6_rt_update_pmtu`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_netlink::link::Vxlan;
use carrick_netlink::route::PathMtu;
use carrick_netlink::rule::{PacketOrigin, Rule};
use carrick_netlink::{Family, MacAddress};
use carrick_topology::DeviceName;
use carrick_topology::constants::{LEAST_DEVICE_MTU, ROUTE_METRIC};
use carrick_topology::handover::{HandoverPlan, HandoverRoute};
use carrick_topology::plan::{NextHop, NodePlan};
use ipnet::IpNet;

use crate::desired::WantedVxlan;
use crate::route::{Hop, RoutingTable, TableRoute, by_identity};

/// What the kernel must hold.
pub(super) struct WantedHandover {
    pub(super) vxlan: WantedVxlan,
    /// A loose reverse-path filter of IPv4 (`rp_filter`) accepts nothing from a device without an address.
    pub(super) addresses: BTreeSet<IpNet>,
    /// In the order of [`by_identity`].
    pub(super) routes: Vec<TableRoute>,
    /// The routes of outer packets, in the same order.
    pub(super) outer_routes: Vec<TableRoute>,
    /// In the order of their priority.
    pub(super) rules: Vec<Rule>,
}

impl WantedHandover {
    pub(super) fn new(plan: &NodePlan, handover: &HandoverPlan) -> Self {
        let encapsulated = handover.routes.iter().map(|route| table_route(&handover.device, route));
        let mut routes: Vec<TableRoute> = encapsulated.chain(handover.exceptions.iter().map(exception)).collect();
        routes.sort_by(by_identity);
        let families: BTreeSet<Family> = handover.routes.iter().map(|route| route.destination.into()).collect();
        let outer_routes = outer_routes(plan, handover);
        let outer_rule = (!outer_routes.is_empty()).then(|| outer_rule(handover));
        Self {
            vxlan: vxlan(handover),
            addresses: plan
                .mesh_addresses
                .iter()
                .filter(|address| address.is_ipv4())
                .copied()
                .map(IpNet::from)
                .collect(),
            routes,
            outer_routes,
            rules: outer_rule.into_iter().chain(families.into_iter().map(forwarding_rule)).collect(),
        }
    }
}

fn outer_routes(plan: &NodePlan, handover: &HandoverPlan) -> Vec<TableRoute> {
    let receivers = handover.receivers.values();
    let mut routes: Vec<TableRoute> = receivers.map(|receiver| outer_route(plan, receiver.address)).collect();
    routes.sort_by(by_identity);
    routes
}

/// The mesh's own route to the receiver, with a lower MTU.
fn outer_route(plan: &NodePlan, receiver: IpAddr) -> TableRoute {
    let through_tunnels = plan.routes.iter().filter(|route| route.next_hop == NextHop::WireGuard);
    let leading = through_tunnels.filter(|route| route.destination.contains(&IpNet::from(receiver)));
    let route = leading.max_by_key(|route| route.destination.prefix_len());
    TableRoute {
        destination: receiver.into(),
        metric: ROUTE_METRIC,
        hop: Hop::Device { device: plan.wireguard.device.clone(), via: None, onlink: false },
        source: route.and_then(|route| route.source),
        mtu: Some(PathMtu::Learned(route.and_then(|route| route.mtu).unwrap_or(u32::MAX).min(LEAST_DEVICE_MTU))),
    }
}

/// The rule for outer packets.
fn outer_rule(handover: &HandoverPlan) -> Rule {
    Rule { origin: PacketOrigin::Host, udp_port: Some(handover.port), ..RoutingTable::HANDOVER_OUTER.rule(Family::V4) }
}

fn vxlan(plan: &HandoverPlan) -> WantedVxlan {
    let neighbours =
        plan.receivers.values().flat_map(|receiver| receiver.next_hops.iter().map(|address| (*address, receiver.mac)));
    let forwarding: BTreeMap<MacAddress, _> =
        plan.receivers.values().map(|receiver| (receiver.mac, receiver.address)).collect();
    WantedVxlan {
        device: plan.device.clone(),
        settings: Vxlan { vni: plan.identifier, port: plan.port, learning: false, underlay: Family::V4, local: None },
        mac: plan.mac,
        mtu: plan.mtu,
        neighbours: neighbours.collect(),
        forwarding,
    }
}

fn table_route(device: &DeviceName, route: &HandoverRoute) -> TableRoute {
    TableRoute {
        destination: route.destination.trunc(),
        metric: ROUTE_METRIC,
        hop: Hop::Device { device: device.clone(), via: Some(route.via), onlink: true },
        source: None,
        mtu: Some(PathMtu::Locked(route.mtu)),
    }
}

fn exception(destination: &IpNet) -> TableRoute {
    let destination = destination.trunc();
    TableRoute { destination, metric: ROUTE_METRIC, hop: Hop::Throw, source: None, mtu: None }
}

/// The rule for forwarded packets: the host's own packets have the loopback device as input device.
fn forwarding_rule(family: Family) -> Rule {
    Rule { origin: PacketOrigin::Host, invert: true, ..RoutingTable::HANDOVER.rule(family) }
}
