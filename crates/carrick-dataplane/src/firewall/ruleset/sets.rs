//! The sets of the table: their names, and the elements that a plan asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;

use carrick_netlink::Family;
use carrick_netlink::nftables::{Set, Table};
use carrick_topology::DeviceName;
use carrick_topology::plan::FirewallPlan;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub(super) const MESH_DEVICES: &str = "mesh_devices";
/// The devices that carry internal addresses of this node.
pub(super) const INTERNAL_DEVICES: &str = "internal_devices";
/// The devices by which packets of other locations come in.
pub(super) const TUNNEL_DEVICES: &str = "tunnel_devices";

/// The table with all sets of the plan.
pub(super) fn with_sets(table: Table, plan: &FirewallPlan) -> Table {
    let table = table
        .with_set(MESH_DEVICES, Set::interface_names(plan.mesh_devices.all().map(DeviceName::as_str)))
        .with_set(TUNNEL_DEVICES, Set::interface_names(plan.mesh_devices.tunnels().map(DeviceName::as_str)))
        .with_set(INTERNAL_DEVICES, Set::interface_names(plan.vxlan_devices.iter().flatten().map(DeviceName::as_str)));
    Family::BOTH.into_iter().fold(table, |table, version| with_sets_of(table, plan, version))
}

/// The name of each set of networks, in one version.
pub(super) struct SetNames {
    pub(super) mesh_port_addresses: String,
    pub(super) mesh_port_senders: String,
    pub(super) vxlan_addresses: String,
    pub(super) vxlan_sources: String,
    pub(super) handover_senders: String,
    pub(super) handover_sources: String,
    pub(super) own_pods: String,
    pub(super) mesh_addresses: String,
    pub(super) internal_sources: String,
    pub(super) internal_destinations: String,
    pub(super) node_senders: String,
    pub(super) plain_neighbours: String,
    pub(super) carried: String,
    pub(super) direct: String,
    pub(super) encapsulated_sources: String,
    pub(super) transit: String,
    pub(super) allowed_location: String,
    pub(super) host_networks: String,
    pub(super) location_addresses: String,
}

impl SetNames {
    pub(super) fn of(version: Family) -> Self {
        let name = |stem| versioned(stem, version);
        Self {
            mesh_port_addresses: name("mesh_port_addresses"),
            mesh_port_senders: name("mesh_port_senders"),
            vxlan_addresses: name("vxlan_addresses"),
            vxlan_sources: name("vxlan_sources"),
            handover_senders: name("handover_senders"),
            handover_sources: name("handover_sources"),
            own_pods: name("own_pods"),
            mesh_addresses: name("mesh_addresses"),
            internal_sources: name("internal_sources"),
            internal_destinations: name("internal_destinations"),
            node_senders: name("node_senders"),
            plain_neighbours: name("plain_neighbours"),
            carried: name("carried"),
            direct: name("direct"),
            encapsulated_sources: name("encapsulated_sources"),
            transit: name("transit"),
            allowed_location: name("allowed_location"),
            host_networks: name("host_networks"),
            location_addresses: name("location_addresses"),
        }
    }
}

fn with_sets_of(table: Table, plan: &FirewallPlan, version: Family) -> Table {
    let names = SetNames::of(version);
    let table = table
        .with_set(names.mesh_port_addresses, networks(version, &plan.mesh_ports.addresses))
        .with_set(names.mesh_port_senders, networks(version, &plan.mesh_ports.senders))
        .with_set(names.vxlan_addresses, addresses(version, &plan.vxlan_addresses))
        .with_set(names.vxlan_sources, addresses(version, &plan.vxlan_sources))
        .with_set(names.handover_senders, addresses(version, &plan.handover.senders))
        .with_set(names.handover_sources, networks(version, &plan.handover.sources))
        .with_set(names.own_pods, networks(version, &plan.own_pods))
        .with_set(names.mesh_addresses, addresses(version, &plan.mesh_addresses))
        .with_set(names.internal_sources, addresses(version, &plan.internal_sources))
        .with_set(names.internal_destinations, addresses(version, &plan.internal_destinations))
        .with_set(names.node_senders, addresses(version, &plan.node_senders))
        .with_set(names.plain_neighbours, addresses(version, &plan.plain_neighbours))
        .with_set(names.carried, networks(version, &plan.carried))
        .with_set(names.direct, networks(version, &plan.direct))
        .with_set(names.encapsulated_sources, networks(version, &plan.encapsulated_sources))
        .with_set(names.transit, networks(version, &plan.transit))
        .with_set(names.allowed_location, networks(version, &plan.allowed_location.destinations))
        .with_set(names.host_networks, networks(version, &plan.host_networks))
        .with_set(names.location_addresses, addresses(version, &plan.location_internal_addresses));
    let table = carriers(plan).into_iter().fold(table, |table, device| {
        let destinations = plan.carried_by.get(device).into_iter().flatten();
        table.with_set(carried_by(device, version), networks(version, destinations))
    });
    if version == Family::V4 {
        return table;
    }
    let narrow = |(segment, destinations)| (narrow_set(segment), networks(version, destinations));
    plan.narrow
        .iter()
        .map(|(segment, nets)| narrow((*segment, nets)))
        .fold(table, |table, (name, set)| table.with_set(name, set))
}

/// The name of the set of destinations that take segments of this size.
pub(super) fn narrow_set(segment: u16) -> String {
    format!("segments_{segment}")
}

fn versioned(stem: &str, version: Family) -> String {
    match version {
        Family::V4 => format!("{stem}4"),
        Family::V6 => format!("{stem}6"),
    }
}

/// The name of the set of what may leave by a device. Characters that `nft` could not read back are written as
/// their number, and so is the one that marks them, so that no two devices share a name.
pub(super) fn carried_by(device: &DeviceName, version: Family) -> String {
    let mut stem = "carried_by_".to_owned();
    for character in device.as_str().chars() {
        match character {
            '-' | '.' | '0'..='9' | 'A'..='Z' | 'a'..='z' => stem.push(character),
            other => stem.push_str(&format!("_{:x}_", u32::from(other))),
        }
    }
    stem.push('_');
    versioned(&stem, version)
}

/// The devices that may carry what the mesh carries. The mesh's own are always there, so that routes that come and go change elements
/// alone.
pub(super) fn carriers(plan: &FirewallPlan) -> BTreeSet<&DeviceName> {
    plan.mesh_devices.all().into_iter().chain(plan.carried_by.keys()).collect()
}

fn networks<'a>(version: Family, all: impl IntoIterator<Item = &'a IpNet>) -> Set {
    let all = all.into_iter();
    match version {
        Family::V4 => Set::ipv4_networks(all.filter_map(|network| match network {
            IpNet::V4(network) => Some(*network),
            IpNet::V6(_) => None,
        })),
        Family::V6 => Set::ipv6_networks(all.filter_map(|network| match network {
            IpNet::V4(_) => None,
            IpNet::V6(network) => Some(*network),
        })),
    }
}

fn addresses<'a>(version: Family, all: impl IntoIterator<Item = &'a IpAddr>) -> Set {
    let all = all.into_iter();
    match version {
        Family::V4 => Set::ipv4_networks(all.filter_map(|address| match address {
            IpAddr::V4(address) => Some(Ipv4Net::from(*address)),
            IpAddr::V6(_) => None,
        })),
        Family::V6 => Set::ipv6_networks(all.filter_map(|address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(Ipv6Net::from(*address)),
        })),
    }
}
