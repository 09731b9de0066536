//! The sets of the nftables table.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::destinations::Destinations;
use super::host_sources::HostSources;
use super::inside;
use super::into_location::IntoLocation;
use super::mtu::Mtus;
use super::transit::transit;
use crate::constants;
use crate::handover::{HandoverFilter, HandoverPlan};
use crate::model::{AllowedLocationMasquerade, DeviceName, Encapsulation, Family, Granularity, PodNetwork, Settings};
use crate::plan::{AllowedLocation, FirewallPlan, MeshDevices, MeshPorts, NextHop, Route};
use crate::resolve::{Member, NetworkKind, Resolved};

/// What the sets are derived from.
pub(super) struct Carried<'a> {
    pub(super) destinations: &'a Destinations,
    pub(super) sources: &'a HostSources,
    pub(super) into_location: &'a IntoLocation,
    pub(super) routes: &'a [Route],
    pub(super) handover: Option<&'a HandoverPlan>,
    pub(super) mtus: &'a Mtus,
}

/// Derives the sets from the routes, so that the leak guard permits exactly what the routes do.
pub(super) fn build(resolved: &Resolved<'_>, me: &Member<'_>, carried_by_mesh: &Carried<'_>) -> FirewallPlan {
    let Carried { destinations, sources, into_location, routes, handover, mtus } = *carried_by_mesh;
    let settings = resolved.settings;
    let devices = MeshDevices::with_wireguard(settings.interface.clone());
    let others: BTreeSet<_> =
        others_of_location(resolved, me).flat_map(|other| other.internal_addresses.iter().map(IpNet::addr)).collect();
    FirewallPlan {
        vxlan_port: constants::VXLAN_PORT,
        vxlan_addresses: me.internal_addresses.iter().map(IpNet::addr).collect(),
        vxlan_sources: if inside::sends_vxlan(settings) { others.clone() } else { BTreeSet::new() },
        vxlan_identifier: constants::VXLAN_IDENTIFIER,
        vxlan_devices: vxlan_devices(settings, me),
        mesh_ports: mesh_ports(resolved),
        mesh_addresses: me.mesh_addresses.iter().copied().collect(),
        internal_sources: sources.own().collect(),
        internal_destinations: sources.destinations().collect(),
        node_senders: into_location.senders.clone(),
        plain_neighbours: into_location.plain.clone(),
        own_pods: me.pod_cidrs.iter().copied().collect(),
        pod_device_prefix: match settings.pod_network {
            PodNetwork::Carrick => Some(constants::POD_DEVICE_PREFIX.to_owned()),
            PodNetwork::Foreign => None,
        },
        carried: carried(settings, destinations),
        carried_by: carried_by(&devices, routes, handover),
        mesh_devices: devices,
        direct: destinations.direct.clone(),
        encapsulated_sources: encapsulated_sources(resolved, me),
        transit: transit(resolved, me, &others, destinations),
        container_devices: match settings.pod_network {
            PodNetwork::Carrick => FirewallPlan::CONTAINER_DEVICES.map(str::to_owned).into(),
            PodNetwork::Foreign => BTreeSet::new(),
        },
        container_bridges: match settings.pod_network {
            PodNetwork::Carrick => settings.local.container_bridges.clone(),
            PodNetwork::Foreign => BTreeSet::new(),
        },
        allowed_location: AllowedLocation {
            destinations: me.exit_cidrs.iter().copied().collect(),
            masquerade: settings.allowed_location_masquerade,
        },
        default_sources: settings.local.default_sources.clone(),
        host_networks: networks_behind_default_routes(settings),
        location_internal_addresses: others,
        narrow: narrow(destinations, mtus),
        handover: HandoverFilter::of(handover),
        firewall_mark: constants::FIREWALL_MARK,
    }
}

/// The networks behind the devices of default routes that name a source.
fn networks_behind_default_routes(settings: &Settings) -> BTreeSet<IpNet> {
    let local = &settings.local;
    let attached = local.networks.iter();
    let routed = local.routed.iter().map(|(net, routed)| (net, &routed.device));
    let behind = attached.chain(routed).filter(|(_, device)| local.default_sources.contains_key(*device));
    behind.map(|(net, _)| net.trunc()).collect()
}

/// The devices that lead into the location. Not known if an internal address is on a device that leads to no other host.
fn vxlan_devices(settings: &Settings, me: &Member<'_>) -> Option<BTreeSet<DeviceName>> {
    let local = &settings.local;
    let device = |net: &IpNet| local.internal_devices.get(&net.addr());
    let is_attached = |device: &&DeviceName| !local.unattached_devices.contains(*device);
    me.internal_addresses.iter().map(|net| device(net).filter(is_attached).cloned()).collect()
}

/// The sources of all nodes from which no packet comes without encapsulation. If another plugin connects the pods, it may carry packets between
/// them too; and without masquerading, what leaves for a network of the location keeps its source, also if it goes to another node there.
fn encapsulated_sources(resolved: &Resolved<'_>, me: &Member<'_>) -> BTreeSet<IpNet> {
    let settings = resolved.settings;
    let leaves_unchanged = settings.allowed_location_masquerade == AllowedLocationMasquerade::Off;
    if settings.pod_network == PodNetwork::Foreign || leaves_unchanged {
        return BTreeSet::new();
    }
    let has_neighbour =
        |family| others_of_location(resolved, me).any(|neighbour| inside::share_subnet(me, neighbour, family));
    let neighbours: Vec<Family> = Family::BOTH.into_iter().filter(|family| has_neighbour(*family)).collect();
    let may_be_plain = |other: &Member<'_>, family| match (settings.granularity, settings.encapsulation) {
        (Granularity::Full, _) | (_, Encapsulation::Always) => false,
        (Granularity::Location | Granularity::Cross, Encapsulation::CrossSubnet | Encapsulation::Never)
            if other.location == me.location =>
        {
            inside::share_subnet(me, other, family)
        }
        // Gateways forward packets of all locations without encapsulation.
        (Granularity::Location, Encapsulation::CrossSubnet | Encapsulation::Never) => neighbours.contains(&family),
        (Granularity::Cross, Encapsulation::CrossSubnet | Encapsulation::Never) => false,
    };
    let sources = resolved.networks.iter().filter(|network| {
        network.kind != NetworkKind::InternalAddress
            && network.member != me.index
            && !may_be_plain(resolved.at(network.member), Family::of_net(&network.net))
    });
    sources.map(|network| network.net).collect()
}

fn mesh_ports(resolved: &Resolved<'_>) -> MeshPorts {
    let settings = resolved.settings;
    let mesh: BTreeSet<IpNet> = settings.mesh_cidrs.iter().map(IpNet::trunc).collect();
    let internal = resolved.networks.iter().filter(|network| network.kind == NetworkKind::InternalAddress);
    MeshPorts {
        ports: MeshPorts::of(settings.port),
        addresses: mesh.iter().copied().chain(internal.map(|network| network.net)).collect(),
        senders: mesh,
    }
}

/// An IPv6 route cannot have an MTU below 1280 bytes. TCP can be told to send smaller segments.
fn narrow(destinations: &Destinations, mtus: &Mtus) -> BTreeMap<u16, BTreeSet<IpNet>> {
    let mut narrow: BTreeMap<u16, BTreeSet<IpNet>> = BTreeMap::new();
    for destination in &destinations.carried {
        if let Some(segment) = mtus.segment_below_ipv6(destination) {
            narrow.entry(segment).or_default().insert(destination.net);
        }
    }
    narrow
}

fn others_of_location<'r>(resolved: &'r Resolved<'r>, me: &Member<'_>) -> impl Iterator<Item = &'r Member<'r>> {
    let own = me.index;
    let location = resolved.location_of(me);
    location.members.iter().filter(move |index| **index != own).map(|index| resolved.at(*index))
}

fn carried(settings: &Settings, destinations: &Destinations) -> BTreeSet<IpNet> {
    let mesh = settings.mesh_cidrs.iter().map(IpNet::trunc);
    let closed = destinations.closed.iter().copied();
    destinations.carried.iter().map(|destination| destination.net).chain(mesh).chain(closed).collect()
}

fn carried_by(
    devices: &MeshDevices,
    routes: &[Route],
    handover: Option<&HandoverPlan>,
) -> BTreeMap<DeviceName, BTreeSet<IpNet>> {
    let mut by_device: BTreeMap<&DeviceName, Vec<IpNet>> = BTreeMap::new();
    for route in routes {
        let device = match &route.next_hop {
            NextHop::WireGuard => &devices.wireguard,
            NextHop::Vxlan { .. } => &devices.vxlan,
            NextHop::Direct { device, .. } => device,
            NextHop::Unreachable | NextHop::Throw => continue,
        };
        by_device.entry(device).or_default().push(route.destination);
    }
    for net in handover.into_iter().flat_map(HandoverPlan::leaving) {
        by_device.entry(&devices.handover).or_default().push(net);
    }
    by_device.into_iter().map(|(device, nets)| (device.clone(), nets.into_iter().collect())).collect()
}
