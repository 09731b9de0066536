//! The host's network interfaces, for the discovery of the node's own addresses.

use std::collections::BTreeSet;

use carrick_netlink::route::{Kind, Route};
use carrick_netlink::{Error, Protocol, Socket, address, link, route};
use carrick_topology::Family;
use carrick_topology::discovery::Interface;
use ipnet::IpNet;

/// The kernel's main routing table (`RT_TABLE_MAIN`).
const MAIN_TABLE: u32 = 254;
/// The shortest prefix of a network. VPNs split a default route into routes with shorter ones.
const SHORTEST_NETWORK: u8 = 7;

/// Lists the interfaces that are up, with their lasting addresses, the networks behind them, and whether a default route leaves by them.
///
/// # Errors
/// The kernel could not be asked.
pub fn list() -> Result<Vec<Interface>, Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    let addresses = address::dump(&mut socket, None)?;
    let routes = [main_routes(&mut socket, Family::V4)?, main_routes(&mut socket, Family::V6)?];
    let default_routes =
        Family::BOTH.into_iter().zip(&routes).filter_map(|(family, routes)| default_route(family, routes));
    let default_routes: Vec<(Family, u32)> = default_routes.collect();
    let interfaces = link::dump(&mut socket)?
        .into_iter()
        .filter(|link| link.up)
        .filter_map(|link| {
            let lasting = addresses.iter().filter(|address| address.link == link.index && !address.unusable);
            Some(Interface {
                name: link.name.parse().ok()?,
                mtu: link.mtu,
                addresses: lasting.map(|address| address.network).collect(),
                on_link: on_link(link.index, routes.iter().flatten()),
                default_route: default_routes
                    .iter()
                    .filter(|(_, device)| *device == link.index)
                    .map(|(family, _)| *family)
                    .collect::<BTreeSet<Family>>(),
            })
        })
        .collect();
    Ok(interfaces)
}

fn main_routes(socket: &mut Socket, family: Family) -> Result<Vec<Route>, Error> {
    route::dump(socket, &route::Filter { family, table: Some(MAIN_TABLE), protocol: None, device: None })
}

/// The device of the default route with the least metric in the main table.
fn default_route(family: Family, routes: &[Route]) -> Option<(Family, u32)> {
    let default = routes.iter().filter(|route| route.destination.prefix_len() == 0);
    let best = default.filter_map(|route| Some((route.metric, route.device?))).min();
    best.map(|(_, device)| (family, device))
}

/// The networks that routes reach by the device without a gateway.
fn on_link<'r>(device: u32, routes: impl Iterator<Item = &'r Route>) -> BTreeSet<IpNet> {
    let of_device = routes.filter(|route| route.device == Some(device) && is_on_link(route));
    of_device.map(|route| route.destination).collect()
}

/// Whether a route of the main table leads to a network that the host is attached to.
pub(super) fn is_on_link(route: &Route) -> bool {
    let length = route.destination.prefix_len();
    let is_network = length >= SHORTEST_NETWORK && length < route.destination.max_prefix_len();
    // Every device has a route to the IPv6 link-local network, those of pods too.
    let is_link_local = matches!(route.destination, IpNet::V6(net) if net.addr().is_unicast_link_local());
    route.kind == Kind::Unicast && route.table == MAIN_TABLE && route.via.is_none() && is_network && !is_link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_behind_routes_without_a_gateway() {
        let route = |net: &str| Route::through(net.parse().unwrap(), MAIN_TABLE, 2, 3);
        let pods = Route { table: 1107, ..route("10.8.9.0/24") };
        let routed = route("10.8.1.0/24").via("10.8.0.1".parse().unwrap());
        let blackhole = Route { kind: Kind::Blackhole, ..route("10.8.2.0/24") };
        let other = Route { device: Some(4), ..route("10.8.3.0/24") };
        let nets = ["10.8.0.0/24", "fd08::/64", "0.0.0.0/0", "0.0.0.0/1", "2000::/3", "10.8.7.7/32", "fe80::/64"];
        let all: Vec<Route> = nets.into_iter().map(route).chain([pods, routed, blackhole, other]).collect();
        let expected = ["10.8.0.0/24", "fd08::/64"].map(|net| net.parse().unwrap());
        assert_eq!(on_link(3, all.iter()), expected.into());
    }
}
