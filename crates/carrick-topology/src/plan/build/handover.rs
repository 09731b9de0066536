//! What goes packed while traffic moves from one gateway to another, and which tunnels outlive the moment.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::destinations::{Destination, Destinations};
use super::mtu::Mtus;
use super::{Way, tunnels, ways};
use crate::contract;
use crate::model::{Family, MacAddress, NodeName, PublicKey, Unpacking};
use crate::plan::{HandoverPlan, HandoverReceiver, HandoverRoute, HandoverSender, NextHop, WireGuardPeer};
use crate::resolve::{Handover, Member, MemberIndex, Resolved};

/// The family of outer packets: IPv6 would not let them be fragmented.
const UNDERLAY: Family = Family::V4;

/// What `me` packs and unpacks; `None` where that is nothing.
pub(super) fn build(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    ways: &[Way],
    destinations: &Destinations,
    mtus: &Mtus,
) -> Option<HandoverPlan> {
    me.mesh_address(UNDERLAY)?;
    let senders = senders(resolved, me, ways);
    let Packed { routes, exceptions } = packed(resolved, destinations, mtus);
    let receivers: BTreeMap<NodeName, HandoverReceiver> =
        resolved.unpacking.keys().filter_map(|index| receiver(resolved.at(*index))).collect();
    if senders.is_empty() && receivers.is_empty() {
        return None;
    }
    Some(HandoverPlan {
        device: contract::handover_device(),
        identifier: contract::HANDOVER_IDENTIFIER,
        port: contract::HANDOVER_PORT,
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
    let Handover { liveness_before, .. } =
        resolved.handover.as_ref().filter(|handover| handover.carried_itself(me.index))?;
    if me.carrier == Some(me.index) {
        return None;
    }
    let before = Resolved::new(resolved.cluster, resolved.settings, liveness_before);
    let me = before.member(&me.node.name)?;
    // The present plan tells what is wrong.
    let mut told = BTreeSet::new();
    let ways = ways(&before, me, &mut told);
    Some(tunnels::build(&before, me, &ways, &mut told))
}

/// Those who will carry what this node still accepts from somebody else, and all that they may send.
fn senders(resolved: &Resolved<'_>, me: &Member<'_>, ways: &[Way]) -> BTreeMap<NodeName, HandoverSender> {
    let Some(handover) = resolved.handover.as_ref().filter(|_| me.carrier == Some(me.index)) else {
        return BTreeMap::new();
    };
    // What comes by a relay changes its tunnel at both ends at once: packing at one of them does not help.
    let is_direct = |carrier: &MemberIndex| {
        resolved.at(*carrier).location != me.location && ways.get(carrier.0) == Some(&Way::Tunnel(*carrier))
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
struct Packed {
    routes: Vec<HandoverRoute>,
    exceptions: BTreeSet<IpNet>,
}

/// Every destination behind the tunnel to a gateway that unpacks. What lies inside one of them and goes packed nowhere is
/// excepted.
fn packed(resolved: &Resolved<'_>, destinations: &Destinations, mtus: &Mtus) -> Packed {
    let mut packed = Packed::default();
    if resolved.unpacking.is_empty() {
        return packed;
    }
    let all = &destinations.carried;
    for (position, destination) in all.iter().enumerate() {
        let Some(route) = route(resolved, destination, mtus) else { continue };
        // What lies inside a network follows it in the order.
        let inside = all[position + 1..].iter().take_while(|other| destination.net.contains(&other.net));
        let elsewhere = inside.filter(|other| self::route(resolved, other, mtus).is_none());
        packed.exceptions.extend(elsewhere.map(|other| other.net));
        packed.exceptions.extend(destinations.direct.iter().filter(|net| destination.net.contains(*net)).copied());
        packed.routes.push(route);
    }
    packed
}

fn route(resolved: &Resolved<'_>, destination: &Destination, mtus: &Mtus) -> Option<HandoverRoute> {
    let Way::Tunnel(to) = destination.way else { return None };
    let receiver = (resolved.unpacking.get(&to) == Some(&Unpacking::Proven)).then(|| resolved.at(to))?;
    receiver.mesh_address(UNDERLAY)?;
    let family = Family::of_net(&destination.net);
    let mtu = mtus.of_route(&NextHop::WireGuard, destination, family).unwrap_or(mtus.wireguard_device());
    Some(HandoverRoute { destination: destination.net, via: receiver.mesh_address(family)?, mtu })
}
