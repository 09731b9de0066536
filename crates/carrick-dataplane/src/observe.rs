//! Reading what the kernel holds of Carrick's. Nothing here writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use carrick_netlink::address::{self, Scope};
use carrick_netlink::link::{self, Link, LinkKind};
use carrick_netlink::route;
use carrick_netlink::rule::ListedRule;
use carrick_netlink::wireguard::Device;
use carrick_netlink::{Error, Family, Socket, neighbour, rule};
use carrick_topology::DeviceName;
use ipnet::IpNet;

use crate::desired::{Desired, WireGuardMaker};
use crate::observed::{Observed, ObservedDevice, ObservedVxlan, ObservedWireGuard};
use crate::route::{RoutingTable, TableRoute, by_identity};
use crate::sysctl::Sysctls;
use crate::wireguard::{WireGuard, WireGuardError};

/// What was observed, and what could not be.
#[derive(Debug)]
pub struct Observation {
    /// What the kernel holds.
    pub observed: Observed,
    /// Why the WireGuard device's configuration could not be read although the device is there.
    pub unreadable_wireguard: Option<WireGuardError>,
    /// The numbers of the devices that routes lead to.
    pub(crate) route_devices: BTreeMap<u32, DeviceName>,
}

/// The routes of Carrick's table as the last complete reconciliation left them.
#[derive(Debug)]
pub(crate) struct SettledRoutes {
    /// The numbers of the devices that they lead to.
    pub(crate) devices: BTreeMap<u32, DeviceName>,
    /// The routes.
    pub(crate) routes: Arc<Vec<TableRoute>>,
}

/// Reads the parts of the kernel that `desired` is about. Settled routes are not read again unless one of the devices
/// has another number by now: then they are gone.
///
/// # Errors
///
/// The kernel could not be asked. A WireGuard device that does not answer is not an error.
pub(crate) fn observe(
    socket: &mut Socket,
    wireguard: &mut dyn WireGuard,
    sysctls: &mut Sysctls,
    desired: &Desired,
    settled: Option<&SettledRoutes>,
) -> Result<Observation, Error> {
    let wireguard_link = find(socket, desired.wireguard_device())?;
    let vxlan_link = find(socket, desired.vxlan_device())?;
    let names = route_devices(socket, desired, [&wireguard_link, &vxlan_link])?;
    let mut unreadable_wireguard = None;
    let observed = Observed {
        wireguard: match &wireguard_link {
            Some(link) => {
                let configuration = configuration(wireguard, link).unwrap_or_else(|error| {
                    unreadable_wireguard = Some(error);
                    None
                });
                Some(ObservedWireGuard { device: device(socket, link)?, kind: link.kind.clone(), configuration })
            }
            None => None,
        },
        vxlan: match &vxlan_link {
            Some(link) => Some(vxlan(socket, link)?),
            None => None,
        },
        routes: match settled.filter(|settled| settled.devices == names) {
            Some(settled) => Arc::clone(&settled.routes),
            None => Arc::new(routes(socket, RoutingTable::MESH, &names)?),
        },
        rules: rules(socket, RoutingTable::MESH)?,
        sysctls: sysctls.observe(desired),
    };
    Ok(Observation { observed, unreadable_wireguard, route_devices: names })
}

/// Finds a device; `None` when there is none of its name.
pub(crate) fn find(socket: &mut Socket, name: &DeviceName) -> Result<Option<Link>, Error> {
    match link::by_name(socket, name.as_str()) {
        Ok(link) => Ok(Some(link)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The rules of a table's protocol number, of both families.
pub(crate) fn rules(socket: &mut Socket, table: RoutingTable) -> Result<BTreeSet<ListedRule>, Error> {
    let mut rules = BTreeSet::new();
    for family in Family::BOTH {
        rules.extend(rule::list(socket, family)?.into_iter().filter(|rule| rule.protocol == table.protocol));
    }
    Ok(rules)
}

fn configuration(wireguard: &mut dyn WireGuard, link: &Link) -> Result<Option<Device>, WireGuardError> {
    match (wireguard.maker(), &link.kind) {
        (_, LinkKind::WireGuard) | (WireGuardMaker::Process, LinkKind::Tun) => wireguard.get(&link.name).map(Some),
        // The kernel's WireGuard knows nothing of a process's device, which gives way to its own.
        _ => Ok(None),
    }
}

/// The numbers of the devices that a plan's routes can lead to.
fn route_devices(
    socket: &mut Socket,
    desired: &Desired,
    own: [&Option<Link>; 2],
) -> Result<BTreeMap<u32, DeviceName>, Error> {
    let mut names = BTreeMap::new();
    for name in desired.route_devices() {
        let found = match own.iter().find_map(|link| link.as_ref().filter(|link| link.name == name.as_str())) {
            Some(link) => Some(link.index),
            None => find(socket, name)?.map(|link| link.index),
        };
        names.extend(found.map(|index| (index, name.clone())));
    }
    Ok(names)
}

fn device(socket: &mut Socket, link: &Link) -> Result<ObservedDevice, Error> {
    let addresses = address::dump(socket, Some(link.index))?;
    let addresses: BTreeSet<IpNet> =
        addresses.into_iter().filter(|address| address.scope != Scope::Link).map(|address| address.network).collect();
    Ok(ObservedDevice { up: link.up, mtu: link.mtu, addresses })
}

pub(crate) fn vxlan(socket: &mut Socket, link: &Link) -> Result<ObservedVxlan, Error> {
    let settings = match link.kind {
        LinkKind::Vxlan(settings) => Some(settings),
        _ => None,
    };
    let (neighbours, forwarding) = match settings {
        Some(_) => (neighbour::dump(socket, link.index)?, neighbour::dump_forwarding(socket, link.index)?),
        None => (Vec::new(), Vec::new()),
    };
    Ok(ObservedVxlan {
        device: device(socket, link)?,
        settings,
        mac: link.mac,
        neighbours: neighbours.into_iter().map(|neighbour| (neighbour.address, neighbour.mac)).collect(),
        forwarding: forwarding.into_iter().map(|entry| (entry.mac, entry.destination)).collect(),
    })
}

/// The routes of a table, in the order of their identity; `names` holds the devices that they can lead to.
pub(crate) fn routes(
    socket: &mut Socket,
    table: RoutingTable,
    names: &BTreeMap<u32, DeviceName>,
) -> Result<Vec<TableRoute>, Error> {
    let mut routes = Vec::new();
    for family in Family::BOTH {
        let found = route::dump_as(socket, &table.routes(family), |received| {
            TableRoute::found(received, table.protocol, |index| names.get(&index).cloned())
        });
        routes.append(&mut found?);
    }
    // The kernel lists them almost in this order, which makes sorting cheap.
    routes.sort_by(by_identity);
    Ok(routes)
}
