//! What goes encapsulated while traffic moves from one gateway to another, and which tunnels outlive the moment.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::destinations::{Destination, Destinations};
use super::mtu::Mtus;
use super::{Hop, hops, tunnels};
use crate::constants;
use crate::model::{Decapsulation, Family, MacAddress, NodeName, PublicKey};
use crate::plan::{HandoverPlan, HandoverReceiver, HandoverRoute, HandoverSender, NextHop, WireGuardPeer};
use crate::resolve::{CarrierChange, Member, MemberIndex, Resolved};

/// The family of outer packets: IPv6 would not let them be fragmented.
const UNDERLAY: Family = Family::V4;

/// What `me` encapsulates and decapsulates; `None` where that is nothing.
pub(super) fn build(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    hops: &[Hop],
    destinations: &Destinations,
    mtus: &Mtus,
) -> Option<HandoverPlan> {
    me.mesh_address(UNDERLAY)?;
    let senders = senders(resolved, me, hops);
    let EncapsulatedRoutes { routes, exceptions } = encapsulated_routes(resolved, destinations, mtus);
    let receivers: BTreeMap<NodeName, HandoverReceiver> =
        resolved.decapsulating.keys().filter_map(|index| receiver(resolved.at(*index))).collect();
    if senders.is_empty() && receivers.is_empty() {
        return None;
    }
    Some(HandoverPlan {
        device: constants::handover_device(),
        identifier: constants::HANDOVER_IDENTIFIER,
        port: constants::HANDOVER_PORT,
        mac: MacAddress::of_node(&me.node.name),
        mtu: mtus.wireguard_device(),
        receivers,
        senders,
        routes,
        exceptions,
    })
}

/// The tunnels that `me` had while it stood by, if it does so no more: far gateways send through them for a moment yet.
pub(super) fn tunnels_of_before(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
) -> Option<BTreeMap<PublicKey, WireGuardPeer>> {
    let CarrierChange { liveness_before, .. } =
        resolved.carrier_change.as_ref().filter(|handover| handover.carried_itself(me.index))?;
    if me.carrier == Some(me.index) {
        return None;
    }
    let before = Resolved::new(resolved.cluster, resolved.settings, liveness_before);
    let me = before.member(&me.node.name)?;
    // The present plan tells what is wrong.
    let mut told = BTreeSet::new();
    let hops = hops(&before, me, &mut told);
    Some(tunnels::build(&before, me, &hops, &mut told))
}

/// Those who will carry what this node still accepts from somebody else, and all that they may send.
fn senders(resolved: &Resolved<'_>, me: &Member<'_>, hops: &[Hop]) -> BTreeMap<NodeName, HandoverSender> {
    let Some(handover) = resolved.carrier_change.as_ref().filter(|_| me.carrier == Some(me.index)) else {
        return BTreeMap::new();
    };
    // What comes by a relay changes its tunnel at both ends at once: encapsulating at one of them does not help.
    let is_direct = |carrier: &MemberIndex| {
        resolved.at(*carrier).location != me.location && hops.get(carrier.0) == Some(&Hop::Tunnel(*carrier))
    };
    let sender = |carrier: MemberIndex| {
        let address = resolved.at(carrier).mesh_address(UNDERLAY)?;
        let members = resolved.members.iter().filter(|member| handover.carries(carrier, member.index));
        let outside = resolved.outside.iter().enumerate().filter(|(position, _)| handover.serves(carrier, *position));
        let sources = members
            .flat_map(tunnels::networks_abroad)
            .chain(outside.flat_map(|(_, outside)| outside.allowed_ips.iter().copied()));
        let sender = HandoverSender { address, sources: sources.collect() };
        Some((resolved.at(carrier).node.name.clone(), sender))
    };
    handover.new_carriers().into_iter().filter(is_direct).filter_map(sender).collect()
}

fn receiver(member: &Member<'_>) -> Option<(NodeName, HandoverReceiver)> {
    let receiver = HandoverReceiver {
        mac: MacAddress::of_node(&member.node.name),
        address: member.mesh_address(UNDERLAY)?,
        next_hops: member.mesh_addresses.iter().copied().collect(),
    };
    Some((member.node.name.clone(), receiver))
}

#[derive(Default)]
struct EncapsulatedRoutes {
    routes: Vec<HandoverRoute>,
    exceptions: BTreeSet<IpNet>,
}

/// Every destination behind the tunnel to a gateway that decapsulates. What lies inside one of them and goes encapsulated nowhere is
/// excepted.
fn encapsulated_routes(resolved: &Resolved<'_>, destinations: &Destinations, mtus: &Mtus) -> EncapsulatedRoutes {
    let mut encapsulated = EncapsulatedRoutes::default();
    if resolved.decapsulating.is_empty() {
        return encapsulated;
    }
    let all = &destinations.carried;
    for (position, destination) in all.iter().enumerate() {
        let Some(route) = route(resolved, destination, mtus) else { continue };
        // What lies inside a network follows it in the order.
        let inside = all[position + 1..].iter().take_while(|other| destination.net.contains(&other.net));
        let elsewhere = inside.filter(|other| self::route(resolved, other, mtus).is_none());
        encapsulated.exceptions.extend(elsewhere.map(|other| other.net));
        encapsulated
            .exceptions
            .extend(destinations.direct.iter().filter(|net| destination.net.contains(*net)).copied());
        encapsulated.routes.push(route);
    }
    encapsulated
}

fn route(resolved: &Resolved<'_>, destination: &Destination, mtus: &Mtus) -> Option<HandoverRoute> {
    let Hop::Tunnel(to) = destination.way else { return None };
    let receiver = (resolved.decapsulating.get(&to) == Some(&Decapsulation::Proven)).then(|| resolved.at(to))?;
    receiver.mesh_address(UNDERLAY)?;
    let family = Family::of_net(&destination.net);
    let mtu = mtus.of_route(&NextHop::WireGuard, destination, family).unwrap_or(mtus.wireguard_device());
    Some(HandoverRoute { destination: destination.net, via: receiver.mesh_address(family)?, mtu })
}
