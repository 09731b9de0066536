//! The sets of the nftables table.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::destinations::Destinations;
use super::mtu::Mtus;
use crate::constants;
use crate::handover::{HandoverFilter, HandoverPlan};
use crate::model::{AllowedLocationMasquerade, DeviceName, Encapsulation, Granularity, PodNetwork, Settings, host_net};
use crate::plan::{AllowedLocation, FirewallPlan, MeshDevices, MeshPorts, NextHop, Route};
use crate::resolve::{Member, Resolved};

/// Derives the sets from the routes, so that the leak guard permits exactly what the routes do.
pub(super) fn build(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    destinations: &Destinations,
    routes: &[Route],
    handover: Option<&HandoverPlan>,
    mtus: &Mtus,
) -> FirewallPlan {
    let settings = resolved.settings;
    let devices = MeshDevices { wireguard: settings.interface.clone(), ..MeshDevices::default() };
    let others: BTreeSet<_> =
        others_of_location(resolved, me).flat_map(|other| other.internal_addresses.iter().map(IpNet::addr)).collect();
    FirewallPlan {
        vxlan_port: constants::VXLAN_PORT,
        vxlan_sources: others.clone(),
        vxlan_identifier: constants::VXLAN_IDENTIFIER,
        vxlan_devices: vxlan_devices(settings, me),
        mesh_ports: mesh_ports(resolved),
        mesh_addresses: me.mesh_addresses.iter().copied().collect(),
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
        allowed_location: AllowedLocation {
            destinations: me.exit_cidrs.iter().copied().collect(),
            masquerade: settings.allowed_location_masquerade,
        },
        location_internal_addresses: others,
        narrow: narrow(destinations, mtus),
        handover: HandoverFilter::of(handover),
        firewall_mark: constants::FIREWALL_MARK,
    }
}

fn vxlan_devices(settings: &Settings, me: &Member<'_>) -> Option<BTreeSet<DeviceName>> {
    let device = |net: &IpNet| settings.local.internal_devices.get(&net.addr());
    let is_real = |device: &&DeviceName| device.as_str() != constants::LOOPBACK_DEVICE;
    me.internal_addresses.iter().map(|net| device(net).filter(is_real).cloned()).collect()
}

/// The sources of all nodes from which no packet comes without encapsulation. If another plugin connects the pods, it may carry packets between
/// them too; and without masquerading, what leaves for a network of the location keeps its source, also if it goes to another node there.
fn encapsulated_sources(resolved: &Resolved<'_>, me: &Member<'_>) -> BTreeSet<IpNet> {
    let settings = resolved.settings;
    let leaves_unchanged = settings.allowed_location_masquerade == AllowedLocationMasquerade::Off;
    if settings.pod_network == PodNetwork::Foreign || leaves_unchanged {
        return BTreeSet::new();
    }
    let may_be_plain = |other: &Member<'_>| match (settings.granularity, settings.encapsulation) {
        (Granularity::Full, _) | (_, Encapsulation::Always) => false,
        // Gateways forward packets of all locations without encapsulation.
        (Granularity::Location, Encapsulation::CrossSubnet | Encapsulation::Never) => true,
        (Granularity::Cross, Encapsulation::CrossSubnet | Encapsulation::Never) => other.location == me.location,
    };
    let others = resolved.members.iter().filter(|other| other.index != me.index && !may_be_plain(other));
    let sources = |other: &Member<'_>| {
        let mesh_addresses = other.mesh_addresses.iter().map(|address| host_net(*address)).collect::<Vec<_>>();
        [other.pod_cidrs.clone(), mesh_addresses].concat()
    };
    others.flat_map(sources).collect()
}

fn mesh_ports(resolved: &Resolved<'_>) -> MeshPorts {
    let settings = resolved.settings;
    let mesh: BTreeSet<IpNet> = settings.mesh_cidrs.iter().map(IpNet::trunc).collect();
    let internal =
        resolved.members.iter().flat_map(|member| &member.internal_addresses).map(|net| IpNet::from(net.addr()));
    MeshPorts {
        ports: [settings.port, constants::VXLAN_PORT, constants::HANDOVER_PORT, constants::PROBE_PORT].into(),
        addresses: mesh.iter().copied().chain(internal).collect(),
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
    if let Some(handover) = handover.filter(|plan| !plan.receivers.is_empty()) {
        by_device.entry(&devices.handover).or_default().extend(handover.leaving());
    }
    by_device.into_iter().map(|(device, nets)| (device.clone(), nets.into_iter().collect())).collect()
}
