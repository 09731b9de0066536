//! The MTUs of the devices by which WireGuard's outer packets leave.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_netlink::route::{Kind, PathMtu};
use carrick_netlink::{Error, Protocol, Socket, link, route};
use carrick_topology::NodePlan;

/// Asks the kernel by which device packets to each endpoint of the plan leave. Returns the MTU of the device, or of the route if that is
/// locked and less, in bytes. An endpoint without a route has none.
///
/// # Errors
/// The kernel could not be asked.
pub(super) fn find(plan: &NodePlan) -> Result<BTreeMap<IpAddr, u32>, Error> {
    let endpoints: BTreeSet<IpAddr> =
        plan.wireguard.peers.values().filter_map(|peer| peer.endpoint).map(|endpoint| endpoint.ip()).collect();
    let mut socket = Socket::open(Protocol::Route)?;
    let devices: BTreeMap<u32, u32> = link::dump(&mut socket)?.into_iter().map(|link| (link.index, link.mtu)).collect();
    let mut mtus = BTreeMap::new();
    for endpoint in endpoints {
        let Ok(route) = route::lookup(&mut socket, endpoint, plan.wireguard.firewall_mark) else { continue };
        let device = route.device.filter(|_| route.kind == Kind::Unicast).and_then(|device| devices.get(&device));
        // What the kernel learned from ICMP errors does not count: anyone can send them, and the kernel forgets it.
        let of_route = match route.mtu {
            Some(PathMtu::Locked(bytes)) => Some(bytes),
            Some(PathMtu::Learned(_)) | None => None,
        };
        mtus.extend(device.into_iter().copied().chain(of_route).min().map(|mtu| (endpoint, mtu)));
    }
    Ok(mtus)
}
