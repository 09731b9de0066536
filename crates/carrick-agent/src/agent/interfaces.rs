//! The host's network interfaces, for the discovery of the node's own addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_netlink::address::{Address, Role};
use carrick_netlink::route::{Kind, Route};
use carrick_netlink::{Error, Protocol, Socket, address, link, route, rule};
use carrick_topology::constants::{HANDOVER_OUTER_TABLE, HANDOVER_TABLE, ROUTING_TABLE};
use carrick_topology::discovery::{AddressRank, HostFacts, Interface, InterfaceAddress};
use carrick_topology::model::RoutedNetwork;
use carrick_topology::{DeviceName, Family};
use ipnet::IpNet;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The kernel's main routing table (`RT_TABLE_MAIN`).
const MAIN_TABLE: u32 = 254;
/// The shortest prefix of a network. VPNs split a default route into routes with shorter ones.
const SHORTEST_NETWORK: u8 = 7;

/// The kernel's table of local addresses (`RT_TABLE_LOCAL`).
const LOCAL_TABLE: u32 = 255;

/// Finds the interfaces that are up, with their addresses, the networks behind them, and whether a default route leaves by them; and the
/// networks behind gateways.
///
/// # Errors
/// The kernel could not be asked.
pub fn find() -> Result<HostFacts, Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    let addresses = in_order_of_age(address::dump(&mut socket, None)?);
    let routes = [routes_of_host(&mut socket, Family::V4)?, routes_of_host(&mut socket, Family::V6)?];
    let default_routes = routes.each_ref().map(|routes| default_route(routes));
    let links = link::dump(&mut socket)?;
    let names: BTreeMap<u32, DeviceName> =
        links.iter().filter_map(|link| Some((link.index, link.name.parse().ok()?))).collect();
    let sources: BTreeSet<IpAddr> =
        default_routes.iter().flatten().filter_map(|route| source_of(route, &addresses)).collect();
    let interfaces = links
        .into_iter()
        .filter(|link| link.up)
        .filter_map(|link| {
            let own = addresses.iter().filter(|address| address.link == link.index && !address.unusable);
            Some(Interface {
                name: link.name.parse().ok()?,
                mtu: link.mtu,
                addresses: own.map(|address| ranked(address, &sources)).collect(),
                on_link: on_link(link.index, routes.iter().flatten()),
                default_route: default_routes
                    .iter()
                    .flatten()
                    .filter(|route| route.device == Some(link.index))
                    .map(Route::family)
                    .collect(),
            })
        })
        .collect();
    let routed = routed(routes.iter().flatten(), &names);
    Ok(HostFacts { interfaces, routed, missing_families: missing_families() })
}

/// The next hops of the routes in the tables that rules lead to, without those of Carrick.
fn routes_of_host(socket: &mut Socket, family: Family) -> Result<Vec<Route>, Error> {
    let rules = rule::dump(socket, family)?;
    let tables: BTreeSet<u32> = rules.into_iter().map(|rule| rule.table).chain([MAIN_TABLE]).collect();
    let mut routes = Vec::new();
    for table in tables.into_iter().filter(|table| is_of_host(*table)) {
        routes.extend(route::dump_next_hops(socket, family, table)?);
    }
    Ok(routes)
}

/// Whether a table holds routes that other programs made.
pub(super) const fn is_of_host(table: u32) -> bool {
    !matches!(table, LOCAL_TABLE | ROUTING_TABLE | HANDOVER_TABLE | HANDOVER_OUTER_TABLE)
}

/// The networks that routes reach through gateways.
fn routed<'r>(
    routes: impl Iterator<Item = &'r Route>,
    names: &BTreeMap<u32, DeviceName>,
) -> BTreeMap<IpNet, RoutedNetwork> {
    let mut networks: BTreeMap<IpNet, RoutedNetwork> = BTreeMap::new();
    for route in routes.filter(|route| is_network(route)) {
        let device = route.device.and_then(|device| names.get(&device));
        if let (Some(device), Some(via)) = (device, route.via) {
            let network = networks.entry(route.destination);
            let network = network.or_insert_with(|| RoutedNetwork { device: device.clone(), via: BTreeSet::new() });
            network.via.insert(via);
        }
    }
    networks
}

/// The families in which the kernel makes no sockets. Linux always has IPv4.
fn missing_families() -> BTreeSet<Family> {
    let made = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None);
    if made.is_err_and(|errno| errno == Errno::EAFNOSUPPORT) { [Family::V6].into() } else { BTreeSet::new() }
}

/// The next hops of the default route with the least metric.
fn default_route(routes: &[Route]) -> Vec<Route> {
    let is_default = |route: &&Route| route.table == MAIN_TABLE && route.destination.prefix_len() == 0;
    let all = || routes.iter().filter(is_default).filter(|route| route.device.is_some());
    let best = all().map(|route| route.metric).min();
    all().filter(|route| Some(route.metric) == best).copied().collect()
}

/// The source address of the host's own packets that take a next hop of the default route: the one that the route names, else the first
/// address in the gateway's subnet.
fn source_of(route: &Route, addresses: &[Address]) -> Option<IpAddr> {
    let in_subnet_of = |via: IpAddr| {
        let is_source = |address: &&Address| {
            Some(address.link) == route.device && address.role == Role::Primary && address.network.contains(&via)
        };
        addresses.iter().find(is_source).map(|address| address.network.addr())
    };
    route.source.or_else(|| in_subnet_of(route.via?))
}

/// Addresses of one device in one family, the one that was added first before others. The kernel lists IPv6 addresses the other way round.
fn in_order_of_age(listed: Vec<Address>) -> Vec<Address> {
    let (v4, v6): (Vec<_>, Vec<_>) =
        listed.into_iter().partition(|address| Family::from(address.network) == Family::V4);
    v4.into_iter().chain(v6.into_iter().rev()).collect()
}

fn ranked(address: &Address, sources: &BTreeSet<IpAddr>) -> InterfaceAddress {
    let rank = match address.role {
        Role::Deprecated => AddressRank::Deprecated,
        Role::Temporary => AddressRank::Temporary,
        Role::Primary | Role::Secondary if sources.contains(&address.network.addr()) => AddressRank::DefaultSource,
        Role::Secondary => AddressRank::Secondary,
        Role::Primary => AddressRank::Primary,
    };
    InterfaceAddress { net: address.network, rank }
}

/// The networks that routes reach by the device without a gateway.
fn on_link<'r>(device: u32, routes: impl Iterator<Item = &'r Route>) -> BTreeSet<IpNet> {
    let of_device = routes.filter(|route| route.device == Some(device) && is_on_link(route));
    of_device.map(|route| route.destination).collect()
}

/// Whether a route leads to a network that the host is attached to.
fn is_on_link(route: &Route) -> bool {
    is_network(route) && route.via.is_none()
}

/// Whether a route of another program leads to a network.
pub(super) fn is_network(route: &Route) -> bool {
    let length = route.destination.prefix_len();
    let is_network = length >= SHORTEST_NETWORK && length < route.destination.max_prefix_len();
    // Every device has a route to the IPv6 link-local network, those of pods too.
    let is_link_local = matches!(route.destination, IpNet::V6(net) if net.addr().is_unicast_link_local());
    route.kind == Kind::Unicast && is_of_host(route.table) && is_network && !is_link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(net: &str, link: u32, role: Role) -> Address {
        Address { role, ..Address::without_side_effects(link, net.parse().unwrap()) }
    }

    #[test]
    fn the_default_route_names_its_source_or_its_gateways_subnet_does() {
        let addresses = [
            address("203.0.113.10/32", 3, Role::Primary),
            address("203.0.113.50/24", 3, Role::Primary),
            address("203.0.113.9/24", 3, Role::Secondary),
            address("203.0.113.8/24", 4, Role::Primary),
        ];
        let hop = Route::through("0.0.0.0/0".parse().unwrap(), MAIN_TABLE, 2, 3).via("203.0.113.1".parse().unwrap());
        let named = Route { source: Some("10.10.1.5".parse().unwrap()), ..hop };
        let elsewhere = hop.via("198.51.100.1".parse().unwrap());
        let found = [hop, named, elsewhere].map(|route| source_of(&route, &addresses));
        assert_eq!(found, [Some("203.0.113.50".parse().unwrap()), Some("10.10.1.5".parse().unwrap()), None]);
    }

    #[test]
    fn all_next_hops_of_the_default_route_of_least_metric_count() {
        let default = |metric, device| Route {
            metric,
            ..Route::through("0.0.0.0/0".parse().unwrap(), MAIN_TABLE, 2, device).via("192.0.2.1".parse().unwrap())
        };
        let network = Route::through("10.8.0.0/24".parse().unwrap(), MAIN_TABLE, 2, 6);
        let routes = [network, default(100, 3), default(20, 4), default(20, 5)];
        let devices: Vec<_> = default_route(&routes).into_iter().filter_map(|route| route.device).collect();
        assert_eq!(devices, [4, 5]);
    }

    #[test]
    fn networks_are_behind_routes_without_a_gateway() {
        let route = |net: &str| Route::through(net.parse().unwrap(), MAIN_TABLE, 2, 3);
        let pods = Route { table: 1107, ..route("10.8.9.0/24") };
        let behind_router = route("10.8.1.0/24").via("10.8.0.1".parse().unwrap());
        let blackhole = Route { kind: Kind::Blackhole, ..route("10.8.2.0/24") };
        let other = Route { device: Some(4), ..route("10.8.3.0/24") };
        let nets = ["10.8.0.0/24", "fd08::/64", "0.0.0.0/0", "0.0.0.0/1", "2000::/3", "10.8.7.7/32", "fe80::/64"];
        let all: Vec<Route> = nets.into_iter().map(route).chain([pods, behind_router, blackhole, other]).collect();
        let expected = ["10.8.0.0/24", "fd08::/64"].map(|net| net.parse().unwrap());
        assert_eq!(on_link(3, all.iter()), expected.into());
        let names = [(3, "eth0".parse().unwrap()), (4, "eth1".parse().unwrap())].into();
        let second = Route { device: Some(4), ..route("10.8.1.0/24").via("10.9.0.1".parse().unwrap()) };
        let own = Route { table: ROUTING_TABLE, ..route("10.4.0.9/24").via("10.8.0.1".parse().unwrap()) };
        let default = route("0.0.0.0/0").via("10.8.0.1".parse().unwrap());
        let vpn = Route { table: 52, ..route("10.7.0.0/16").via("10.8.0.2".parse().unwrap()) };
        let found = routed(all.iter().chain([&second, &own, &default, &vpn]), &names);
        let found: Vec<_> = found.iter().map(|(net, to)| format!("{net} {} {:?}", to.device, to.via)).collect();
        assert_eq!(found, ["10.7.0.0/16 eth0 {10.8.0.2}", "10.8.1.0/24 eth0 {10.8.0.1, 10.9.0.1}"]);
    }
}
