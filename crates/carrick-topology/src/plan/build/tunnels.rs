//! WireGuard peers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::exceptions::addresses_of;
use super::hops::Hop;
use crate::constants::{FIREWALL_MARK, WARM_KEEPALIVE_SECONDS};
use crate::model::{Endpoint, Granularity, Host, PublicKey, Settings, host_net};
use crate::plan::{NamedEndpoint, PeerIdentity, WireGuardPeer, WireGuardPlan};
use crate::resolve::{Member, NetworkKind, Resolved, can_dial, dialled_endpoint, may_send_to};
use crate::{ObjectName, Warning, WarningReason};

/// The peers of `me`, with their allowed IPs.
pub(super) fn build(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    hops: &[Hop],
    warnings: &mut BTreeSet<Warning>,
) -> BTreeMap<PublicKey, WireGuardPeer> {
    let mut peers: BTreeMap<PublicKey, WireGuardPeer> = allowed_ips(resolved, me, hops)
        .into_iter()
        .zip(&resolved.members)
        .filter_map(|(networks, gateway)| Some((gateway.key, node_peer(resolved, me, gateway, networks?, warnings))))
        .collect();
    for served in resolved.outside.iter().filter(|outside| outside.server == me.index) {
        let object = ObjectName::Peer(served.peer.name.clone());
        let endpoint = served.peer.endpoint.as_ref();
        let Dialled { endpoint, named } =
            endpoint.map(|endpoint| resolve(resolved.settings, me, endpoint, object, warnings)).unwrap_or_default();
        let peer = WireGuardPeer {
            identity: PeerIdentity::Outside(served.peer.name.clone()),
            endpoint,
            named,
            persistent_keepalive: served.peer.persistent_keepalive.filter(|seconds| *seconds > 0),
            preshared_key: served.peer.preshared_key.clone(),
            allowed_ips: served.allowed_ips.iter().copied().collect(),
        };
        peers.insert(served.peer.public_key, peer);
    }
    peers
}

/// The networks behind the tunnel to each member, in the members' order; `None` where there is no tunnel.
fn allowed_ips(resolved: &Resolved<'_>, me: &Member<'_>, hops: &[Hop]) -> Vec<Option<Vec<IpNet>>> {
    let mut allowed: Vec<Option<Vec<IpNet>>> = vec![None; resolved.members.len()];
    let through = |hop: Hop| match hop {
        Hop::Tunnel(gateway) => Some(gateway.0),
        Hop::Bypass(_) | Hop::Inside(_) | Hop::Nowhere => None,
    };
    for (other, hop) in resolved.members.iter().zip(hops) {
        if let Some(gateway) = through(hop.to_mesh_addresses(other.index)) {
            allowed[gateway].get_or_insert_default();
        }
        if let Some(gateway) = through(hop.to_networks()) {
            let networks = allowed[gateway].get_or_insert_default();
            networks.extend(&other.owned_cidrs);
            let outside = resolved.outside_networks.get(&other.index).into_iter().flatten();
            networks.extend(outside.map(|(net, _)| *net));
        }
    }
    for network in &resolved.networks {
        let hop = hops[network.member.0];
        let hop = match network.kind {
            NetworkKind::MeshAddress => hop.to_mesh_addresses(network.member),
            // Inside one location, internal addresses are reached without the tunnel.
            NetworkKind::InternalAddress if resolved.at(network.member).location == me.location => continue,
            NetworkKind::Pods | NetworkKind::InternalAddress => hop.to_networks(),
        };
        if let Some(networks) = through(hop).and_then(|gateway| allowed[gateway].as_mut()) {
            networks.push(network.net);
        }
    }
    allowed
}

/// The device around the peers.
pub(super) fn plan(settings: &Settings, peers: BTreeMap<PublicKey, WireGuardPeer>, mtu: u32) -> WireGuardPlan {
    WireGuardPlan { device: settings.interface.clone(), port: settings.port, firewall_mark: FIREWALL_MARK, mtu, peers }
}

/// The networks of a member that tunnels of other locations carry.
pub(super) fn networks_for_other_locations(member: &Member<'_>) -> impl Iterator<Item = IpNet> {
    let pods = member.pod_cidrs.iter().copied();
    let mesh = member.mesh_addresses.iter().copied().map(host_net);
    let internal = member.internal_addresses.iter().map(IpNet::addr).map(host_net);
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
    let Dialled { endpoint, named } = dialled
        .map(|endpoint| resolve(resolved.settings, me, &endpoint, gateway.object(), warnings))
        .unwrap_or_default();
    WireGuardPeer {
        identity: PeerIdentity::Node(gateway.node.name.clone()),
        endpoint,
        named,
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

/// Where a peer is dialled.
#[derive(Default)]
struct Dialled {
    endpoint: Option<SocketAddr>,
    named: Option<NamedEndpoint>,
}

/// Of the addresses of a domain name, those count in whose family `me` can send.
fn resolve(
    settings: &Settings,
    me: &Member<'_>,
    endpoint: &Endpoint,
    object: ObjectName,
    warnings: &mut BTreeSet<Warning>,
) -> Dialled {
    let at = |address| Some(SocketAddr::new(address, endpoint.port));
    let name = match &endpoint.host {
        Host::Address(address) => return Dialled { endpoint: at(*address), named: None },
        Host::Name(name) => name,
    };
    let known: Vec<IpAddr> = addresses_of(settings, endpoint).collect();
    let (first, rest): (Vec<IpAddr>, Vec<IpAddr>) = known.iter().partition(|address| can_dial(me, **address));
    let addresses: Vec<IpAddr> = first.into_iter().chain(rest.into_iter().filter(|it| may_send_to(me, *it))).collect();
    let chosen = settings.local.chosen_addresses.get(name).filter(|chosen| addresses.contains(chosen));
    let Some(address) = chosen.or(addresses.first()).copied() else {
        let reason = if known.is_empty() { WarningReason::Unresolved } else { WarningReason::NoUsableAddress };
        warnings.insert(Warning::new(object, "endpoint", endpoint, reason));
        return Dialled::default();
    };
    let named = (addresses.len() > 1).then(|| NamedEndpoint { name: name.clone(), addresses });
    Dialled { endpoint: at(address), named }
}
