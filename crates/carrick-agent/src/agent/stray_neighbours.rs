//! Nodes of the location to which the host's routes lead by a device outside of the location's network.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_netlink::route::Kind;
use carrick_netlink::{Error, Protocol, Socket, link, route};
use carrick_topology::{DeviceName, NodePlan};

/// Asks the kernel by which device packets to each other node of the location leave. Returns those that leave by a device that carries no
/// internal address of this node, with the device. A destination without a route is none of them.
///
/// # Errors
/// The kernel could not be asked.
pub(super) fn find(plan: &NodePlan) -> Result<BTreeMap<IpAddr, DeviceName>, Error> {
    let Some(devices) = &plan.firewall.vxlan_devices else { return Ok(BTreeMap::new()) };
    let mut socket = Socket::open(Protocol::Route)?;
    let names: BTreeMap<u32, DeviceName> =
        link::dump(&mut socket)?.into_iter().filter_map(|link| Some((link.index, link.name.parse().ok()?))).collect();
    let mut strays = BTreeMap::new();
    for address in plan.vxlan.neighbours.values().map(|neighbour| neighbour.internal_address) {
        let Ok(route) = route::lookup(&mut socket, address, 0) else { continue };
        let device = route.device.filter(|_| route.kind == Kind::Unicast).and_then(|device| names.get(&device));
        if let Some(device) = device.filter(|device| !devices.contains(*device)) {
            strays.insert(address, device.clone());
        }
    }
    Ok(strays)
}
