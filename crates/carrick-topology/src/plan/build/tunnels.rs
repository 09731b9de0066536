//! WireGuard peers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipnet::IpNet;

use super::destinations::addresses_of;
use super::hops::Hop;
use crate::constants::{FIREWALL_MARK, WARM_KEEPALIVE_SECONDS};
use crate::model::{Endpoint, Granularity, PublicKey, Settings, host_net};
use crate::plan::{PeerIdentity, WireGuardPeer, WireGuardPlan};
use crate::resolve::{Member, MemberIndex, Resolved, dialled_endpoint};
use crate::{ObjectName, Warning, WarningReason};

/// The peers of `me`, with their allowed IPs.
pub(super) fn build(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    hops: &[Hop],
    warnings: &mut BTreeSet<Warning>,
) -> BTreeMap<PublicKey, WireGuardPeer> {
    let mut allowed: BTreeMap<MemberIndex, Vec<IpNet>> = BTreeMap::new();
    for (other, hop) in resolved.members.iter().zip(hops) {
        if let Hop::Tunnel(gateway) = hop {
            let networks = allowed.entry(*gateway).or_default();
            networks.extend(networks_of(me, other));
            let outside = resolved.outside_networks.get(&other.index).into_iter().flatten();
            networks.extend(outside.map(|(net, _)| *net));
        }
    }
    let mut peers: BTreeMap<PublicKey, WireGuardPeer> = allowed
        .into_iter()
        .map(|(index, networks)| {
            let gateway = resolved.at(index);
            (gateway.key, node_peer(resolved, me, gateway, networks, warnings))
        })
        .collect();
    for served in resolved.outside.iter().filter(|outside| outside.server == me.index) {
        let object = ObjectName::Peer(served.peer.name.clone());
        let endpoint = served.peer.endpoint.as_ref();
        let peer = WireGuardPeer {
            identity: PeerIdentity::Outside(served.peer.name.clone()),
            endpoint: endpoint.and_then(|endpoint| resolve(resolved.settings, endpoint, object, warnings)),
            persistent_keepalive: served.peer.persistent_keepalive.filter(|seconds| *seconds > 0),
            preshared_key: served.peer.preshared_key.clone(),
            allowed_ips: served.allowed_ips.iter().copied().collect(),
        };
        peers.insert(served.peer.public_key, peer);
    }
    peers
}

/// The device around the peers.
pub(super) fn plan(settings: &Settings, peers: BTreeMap<PublicKey, WireGuardPeer>, mtu: u32) -> WireGuardPlan {
    WireGuardPlan { device: settings.interface.clone(), port: settings.port, firewall_mark: FIREWALL_MARK, mtu, peers }
}

/// The networks of a member that a tunnel carries. Inside one location, internal addresses are reached without the tunnel.
fn networks_of(me: &Member<'_>, other: &Member<'_>) -> impl Iterator<Item = IpNet> {
    let internal: &[IpNet] = if other.location == me.location { &[] } else { &other.internal_addresses };
    networks_with(other, internal)
}

/// The networks of a member that tunnels of other locations carry.
pub(super) fn networks_for_other_locations(member: &Member<'_>) -> impl Iterator<Item = IpNet> {
    networks_with(member, &member.internal_addresses)
}

fn networks_with(member: &Member<'_>, internal: &[IpNet]) -> impl Iterator<Item = IpNet> {
    let pods = member.pod_cidrs.iter().copied();
    let mesh = member.mesh_addresses.iter().copied().map(host_net);
    let internal = internal.iter().map(IpNet::addr).map(host_net);
    pods.chain(mesh).chain(internal).chain(member.owned_cidrs.iter().copied())
}

fn node_peer(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    gateway: &Member<'_>,
    networks: Vec<IpNet>,
    warnings: &mut BTreeSet<Warning>,
) -> WireGuardPeer {
    let dialled = if gateway.location == me.location {
        let underlay = resolved.location_of(me).underlay;
        gateway.internal_address(underlay).map(|address| Endpoint::at(address, listen_port(resolved.settings, gateway)))
    } else {
        dialled_endpoint(me, gateway).cloned()
    };
    let endpoint = dialled.and_then(|endpoint| resolve(resolved.settings, &endpoint, gateway.object(), warnings));
    WireGuardPeer {
        identity: PeerIdentity::Node(gateway.node.name.clone()),
        endpoint,
        persistent_keepalive: me.node.keepalive().or_else(|| warm_keepalive(resolved, me, gateway)),
        preshared_key: None,
        allowed_ips: networks.into_iter().collect(),
    }
}

/// The port on which a node listens: the one that its agent advertises, else the port of this node.
fn listen_port(settings: &Settings, node: &Member<'_>) -> u16 {
    node.node.advertised_endpoints.first().map_or(settings.port, |endpoint| endpoint.port)
}

/// A tunnel with a standby gateway at one end has no traffic to keep its session alive.
fn warm_keepalive(resolved: &Resolved<'_>, me: &Member<'_>, gateway: &Member<'_>) -> Option<u16> {
    let stands_by = |member: &Member<'_>| {
        let location = resolved.location_of(member);
        location.is_gateway(member.index) && !location.is_active(member.index)
    };
    let warm = resolved.settings.granularity == Granularity::Location && (stands_by(me) || stands_by(gateway));
    warm.then_some(WARM_KEEPALIVE_SECONDS)
}

fn resolve(
    settings: &Settings,
    endpoint: &Endpoint,
    object: ObjectName,
    warnings: &mut BTreeSet<Warning>,
) -> Option<SocketAddr> {
    let address = addresses_of(settings, endpoint).next();
    if address.is_none() {
        warnings.insert(Warning::new(object, "endpoint", endpoint, WarningReason::Unresolved));
    }
    address.map(|address| SocketAddr::new(address, endpoint.port))
}
