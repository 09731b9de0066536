//! How nodes of one location reach each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{DeviceName, Encapsulation, Family, Granularity, NodeName, Settings, mac_of_node};
use crate::plan::{NextHop, VxlanNeighbour};
use crate::resolve::{Member, Resolved};
use crate::{ObjectName, Warning, WarningReason};

/// Whether nodes of a location send VXLAN to each other. The handover between gateways has a port of its own.
pub(super) fn sends_vxlan(settings: &Settings) -> bool {
    settings.granularity != Granularity::Full && settings.encapsulation != Encapsulation::Never
}

/// All other nodes of the location.
pub(super) fn neighbours(resolved: &Resolved<'_>, me: &Member<'_>) -> BTreeMap<NodeName, VxlanNeighbour> {
    let location = resolved.location_of(me);
    let is_present = |address: &IpAddr| !resolved.settings.local.missing_families.contains(&Family::of(address));
    location
        .members
        .iter()
        .map(|index| resolved.at(*index))
        .filter(|other| other.index != me.index)
        .filter_map(|other| {
            let neighbour = VxlanNeighbour {
                mac: mac_of_node(&other.node.name),
                internal_address: other.internal_address(location.underlay)?,
                mesh_addresses: other.mesh_addresses.iter().copied().filter(is_present).collect(),
            };
            Some((other.node.name.clone(), neighbour))
        })
        .collect()
}

/// Warns of the nodes of the location to which VXLAN would leave by a device that does not lead into the location, or by the way to the internet.
pub(super) fn warn_of_stray_neighbours(resolved: &Resolved<'_>, me: &Member<'_>, warnings: &mut BTreeSet<Warning>) {
    let settings = resolved.settings;
    if !sends_vxlan(settings) {
        return;
    }
    for (name, neighbour) in neighbours(resolved, me) {
        let address = neighbour.internal_address;
        let is_outside = |addresses: &BTreeMap<IpAddr, DeviceName>| addresses.contains_key(&address);
        let is_apart = is_outside(&settings.local.stray_neighbours) || is_outside(&settings.local.internet_neighbours);
        if is_apart && me.node.location.is_none() {
            let reason = WarningReason::LocationMissing(settings.topology_label.clone());
            warnings.insert(Warning::new(me.object(), "location", "", reason));
        }
        if let Some(device) = settings.local.stray_neighbours.get(&address) {
            let reason = WarningReason::RoutedElsewhere(device.to_string());
            warnings.insert(Warning::new(ObjectName::Node(name), "internal-addresses", address, reason));
        } else if let Some(device) = settings.local.internet_neighbours.get(&address) {
            let reason = WarningReason::RoutedToInternet(device.to_string());
            warnings.insert(Warning::new(ObjectName::Node(name), "internal-addresses", address, reason));
        }
    }
}

/// The next hop from `me` to another node of the location, for destinations of this family.
pub(super) fn next_hop(
    resolved: &Resolved<'_>,
    me: &Member<'_>,
    other: &Member<'_>,
    family: Family,
) -> Result<NextHop, WarningReason> {
    match resolved.settings.encapsulation {
        Encapsulation::Always => encapsulated(other, family),
        Encapsulation::CrossSubnet => {
            direct(resolved, me, other, family).map_or_else(|| encapsulated(other, family), Ok)
        }
        Encapsulation::Never => {
            direct(resolved, me, other, family).ok_or_else(|| WarningReason::NoSharedSubnet(me.node.name.clone()))
        }
    }
}

fn encapsulated(other: &Member<'_>, family: Family) -> Result<NextHop, WarningReason> {
    let via = other.mesh_address(family).ok_or(WarningReason::NoMeshAddress)?;
    Ok(NextHop::Vxlan { via })
}

fn direct(resolved: &Resolved<'_>, me: &Member<'_>, other: &Member<'_>, family: Family) -> Option<NextHop> {
    let (via, device) = shared_subnet(resolved, me, other, family)?;
    Some(NextHop::Direct { via, device: device.clone() })
}

/// The other node's address in a subnet that both nodes are attached to, and this node's device there.
fn shared_subnet<'r>(
    resolved: &'r Resolved<'_>,
    me: &Member<'_>,
    other: &Member<'_>,
    family: Family,
) -> Option<(IpAddr, &'r DeviceName)> {
    subnet_pairs(me, other, family).find_map(|(own, theirs)| {
        let local = &resolved.settings.local;
        let device = local.internal_devices.get(&own.addr())?;
        let is_attached = !local.unattached_devices.contains(device);
        is_attached.then_some((theirs.addr(), device))
    })
}

/// Whether two nodes have internal addresses in one subnet, so that packets of this family may go between them without encapsulation.
pub(super) fn share_subnet(me: &Member<'_>, other: &Member<'_>, family: Family) -> bool {
    subnet_pairs(me, other, family).next().is_some()
}

/// The internal addresses of both nodes in each subnet that both are attached to.
fn subnet_pairs<'m>(
    me: &'m Member<'_>,
    other: &'m Member<'_>,
    family: Family,
) -> impl Iterator<Item = (&'m IpNet, &'m IpNet)> {
    let of_family = move |net: &&IpNet| Family::of_net(net) == family;
    let own = me.internal_addresses.iter().filter(of_family);
    let pairs =
        own.flat_map(move |own| other.internal_addresses.iter().filter(of_family).map(move |theirs| (own, theirs)));
    pairs.filter(|(own, theirs)| own.trunc() == theirs.trunc())
}
