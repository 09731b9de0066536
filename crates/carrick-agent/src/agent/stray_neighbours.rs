//! Nodes of the location to which the host's routes lead out of the location's network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_netlink::route::{Filter, Kind};
use carrick_netlink::{Error, Protocol, Socket, address, link, route};
use carrick_topology::constants::MAIN_TABLE;
use carrick_topology::model::{Family, is_public};
use carrick_topology::{DeviceName, NodePlan};

/// The internal addresses of other nodes of the location to which packets leave the location's network, with the device.
#[derive(Debug, Default)]
pub(super) struct StrayNeighbours {
    /// By a device that carries no internal address of this node.
    pub(super) elsewhere: BTreeMap<IpAddr, DeviceName>,
    /// By a device that carries one, to the router of a default route, and the device has a public address too: this router is the way to
    /// the internet. A device with private addresses only may have a router that leads to all networks of the location.
    pub(super) internet: BTreeMap<IpAddr, DeviceName>,
}

/// Asks the kernel by which device, and by which router, packets to each other node of the location leave. A destination without a route is
/// no stray.
///
/// # Errors
/// The kernel could not be asked.
pub(super) fn find(plan: &NodePlan) -> Result<StrayNeighbours, Error> {
    let mut found = StrayNeighbours::default();
    let Some(devices) = &plan.firewall.vxlan_devices else { return Ok(found) };
    let mut socket = Socket::open(Protocol::Route)?;
    let names: BTreeMap<u32, DeviceName> =
        link::dump(&mut socket)?.into_iter().filter_map(|link| Some((link.index, link.name.parse().ok()?))).collect();
    let to_internet = routers_to_internet(&mut socket)?;
    for address in plan.vxlan.neighbours.values().map(|neighbour| neighbour.internal_address) {
        let Ok(route) = route::lookup(&mut socket, address, 0) else { continue };
        let Some(index) = route.device.filter(|_| route.kind == Kind::Unicast) else { continue };
        let Some(device) = names.get(&index) else { continue };
        if !devices.contains(device) {
            found.elsewhere.insert(address, device.clone());
        } else if route.via.is_some_and(|router| to_internet.contains(&(index, router))) {
            found.internet.insert(address, device.clone());
        }
    }
    Ok(found)
}

/// The routers of default routes, each with the number of its device, where the device has a public address of the family.
fn routers_to_internet(socket: &mut Socket) -> Result<BTreeSet<(u32, IpAddr)>, Error> {
    let public: BTreeSet<(u32, Family)> = address::dump(socket, None)?
        .into_iter()
        .map(|address| (address.link, address.network.addr()))
        .filter(|(_, address)| is_public(address))
        .map(|(link, address)| (link, Family::of(&address)))
        .collect();
    let mut routers = BTreeSet::new();
    for family in Family::BOTH {
        let filter = Filter { family, table: Some(MAIN_TABLE), protocol: None, device: None };
        let defaults = route::dump(socket, &filter)?.into_iter().filter(|route| route.destination.prefix_len() == 0);
        let next_hops = defaults.filter_map(|route| Some((route.device?, route.via?)));
        routers.extend(next_hops.filter(|(device, _)| public.contains(&(*device, family))));
    }
    Ok(routers)
}
