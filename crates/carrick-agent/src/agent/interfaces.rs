//! The host's network interfaces, for the discovery of the node's own addresses.

mod attachment;
mod preceding;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_netlink::address::{Address, Role, Scope};
use carrick_netlink::link::Link;
use carrick_netlink::route::{Kind, Route};
use carrick_netlink::rule::ListedRule;
use carrick_netlink::{Error, Protocol, Socket, address, link, route, rule};
use carrick_topology::constants::MAIN_TABLE;
use carrick_topology::discovery::{AddressRank, HostFacts, Interface, InterfaceAddress};
use carrick_topology::model::{RoutedNetwork, is_public};
use carrick_topology::{DeviceName, Family};
use ipnet::IpNet;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

pub(super) use tables::is_of_host;

/// The shortest prefix of a network. VPNs split a default route into routes with shorter ones.
const SHORTEST_NETWORK: u8 = 7;

/// Finds the interfaces that are up, with their addresses, the networks behind them, and whether a default route leaves by them; and the
/// networks behind gateways.
///
/// # Errors
/// The kernel could not be asked.
pub fn find() -> Result<HostFacts, Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    let addresses = in_order_of_age(address::dump(&mut socket, None)?);
    let rules = [rule::list(&mut socket, Family::V4)?, rule::list(&mut socket, Family::V6)?];
    let routes =
        [routes_of_host(&mut socket, &rules[0], Family::V4)?, routes_of_host(&mut socket, &rules[1], Family::V6)?];
    let default_routes = routes.each_ref().map(|routes| default_route(routes));
    let links = link::dump(&mut socket)?;
    let names: BTreeMap<u32, DeviceName> =
        links.iter().filter_map(|link| Some((link.index, link.name.parse().ok()?))).collect();
    let sources: BTreeSet<IpAddr> =
        default_routes.iter().flatten().filter_map(|route| source_of(route, &addresses)).collect();
    let ports: Vec<Link> = links.iter().filter(|link| link.controller.is_some()).cloned().collect();
    let interfaces = links
        .into_iter()
        .filter(|link| link.up)
        .filter_map(|link| {
            let own = addresses.iter().filter(|address| address.link == link.index && !address.unusable);
            Some(Interface {
                name: link.name.parse().ok()?,
                attachment: attachment::of(&link, &ports, &addresses, routes.iter().flatten()),
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
    let default_sources = default_sources(default_routes.iter().flatten(), &addresses, &names);
    let preceding_rules = preceding::rules(&rules.concat(), routes.iter().flatten());
    Ok(HostFacts { interfaces, routed, default_sources, preceding_rules, missing_families: missing_families() })
}

/// The addresses of all interfaces, also of those that are down.
///
/// # Errors
/// The kernel could not be asked.
pub fn assigned_addresses() -> Result<BTreeSet<IpAddr>, Error> {
    let addresses = address::dump(&mut Socket::open(Protocol::Route)?, None)?;
    Ok(addresses.into_iter().map(|address| address.network.addr()).collect())
}

/// The next hops of the routes in the tables that rules lead to, without those of Carrick.
fn routes_of_host(socket: &mut Socket, rules: &[ListedRule], family: Family) -> Result<Vec<Route>, Error> {
    let tables: BTreeSet<u32> =
        rules.iter().map(|rule| rule.table).filter(|table| *table != 0).chain([MAIN_TABLE]).collect();
    let mut routes = Vec::new();
    for table in tables.into_iter().filter(|table| is_of_host(*table)) {
        routes.extend(route::dump_next_hops(socket, family, table)?);
    }
    Ok(routes)
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

/// The source addresses that default routes name, by the device of the next hop, where the kernel's masquerading would choose another one. It
/// is left to choose where it can: it ends connections whose address the host loses.
fn default_sources<'r>(
    routes: impl Iterator<Item = &'r Route>,
    addresses: &[Address],
    names: &BTreeMap<u32, DeviceName>,
) -> BTreeMap<DeviceName, BTreeSet<IpAddr>> {
    let mut sources: BTreeMap<DeviceName, BTreeSet<IpAddr>> = BTreeMap::new();
    for route in routes {
        let device = route.device.and_then(|device| names.get(&device));
        let (Some(device), Some(source)) = (device, route.source) else { continue };
        let of_device = sources.entry(device.clone()).or_default();
        let is_first = of_device.iter().all(|other| Family::of(other) != Family::of(&source));
        if is_first && masqueraded(route, addresses) != Some(source) {
            of_device.insert(source);
        }
    }
    sources.retain(|_, of_device| !of_device.is_empty());
    sources
}

/// The address that masquerading gives to packets which take a next hop of the default route. IPv4: the first address of the device in the
/// gateway's subnet, else the first one (`inet_select_addr`). IPv6: depends on the destination (RFC 6724), so that it is known only where the
/// device has one address that counts.
fn masqueraded(route: &Route, addresses: &[Address]) -> Option<IpAddr> {
    let is_candidate = |address: &&Address| {
        let of_family = Family::from(address.network) == route.family();
        Some(address.link) == route.device && of_family && address.role == Role::Primary && address.scope != Scope::Link
    };
    let candidates = || addresses.iter().filter(is_candidate);
    match route.family() {
        Family::V4 => {
            let in_subnet = route.via.and_then(|via| candidates().find(|address| address.network.contains(&via)));
            in_subnet.or_else(|| candidates().next()).map(|address| address.network.addr())
        }
        Family::V6 => {
            let counts = |address: &IpAddr| route.source.is_some_and(|source| is_public(&source) == is_public(address));
            let mut counting = candidates().map(|address| address.network.addr()).filter(counts);
            counting.next().filter(|_| counting.next().is_none())
        }
    }
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
    use carrick_topology::constants::ROUTING_TABLE;

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
    fn each_device_has_the_source_that_a_default_route_names_and_masquerading_would_not_choose() {
        let hop = |via: &str, device, source: Option<&str>| {
            let via: IpAddr = via.parse().unwrap();
            let all = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
            let hop = Route::through(all.parse().unwrap(), MAIN_TABLE, 2, device).via(via);
            Route { source: source.map(|source| source.parse().unwrap()), ..hop }
        };
        let names = [(3, "eth0".parse().unwrap()), (4, "eth1".parse().unwrap())].into();
        let addresses = [
            address("192.0.2.5/24", 3, Role::Primary),
            address("192.0.2.6/24", 3, Role::Secondary),
            address("203.0.113.5/24", 3, Role::Primary),
            address("198.51.100.2/31", 4, Role::Primary),
            address("10.9.9.9/32", 1, Role::Primary),
            address("2001:db8::5/64", 3, Role::Primary),
            address("2001:db8::77/64", 3, Role::Temporary),
            address("fd00::5/64", 3, Role::Primary),
            address("2001:db8:1::5/64", 4, Role::Primary),
            address("2001:db8:1::6/64", 4, Role::Primary),
        ];
        let found = |routes: &[Route]| -> Vec<String> {
            let found = default_sources(routes.iter(), &addresses, &names);
            found.iter().map(|(device, sources)| format!("{device} {sources:?}")).collect()
        };
        let none = [""; 0];
        assert_eq!(found(&[hop("192.0.2.1", 3, None)]), none);
        assert_eq!(found(&[hop("192.0.2.1", 3, Some("192.0.2.5"))]), none, "as a DHCP client writes it");
        assert_eq!(found(&[hop("192.0.2.1", 3, Some("192.0.2.6"))]), ["eth0 {192.0.2.6}"]);
        assert_eq!(found(&[hop("203.0.113.1", 3, Some("203.0.113.5"))]), none, "the gateway's subnet");
        assert_eq!(found(&[hop("203.0.113.1", 3, Some("192.0.2.5"))]), ["eth0 {192.0.2.5}"]);
        let uplinks = [hop("192.0.2.1", 3, Some("10.9.9.9")), hop("198.51.100.3", 4, Some("10.9.9.9"))];
        assert_eq!(found(&uplinks), ["eth0 {10.9.9.9}", "eth1 {10.9.9.9}"], "two uplinks, the address on lo");
        assert_eq!(found(&[hop("fe80::1", 3, Some("2001:db8::5"))]), none, "the only lasting public one");
        assert_eq!(found(&[hop("fe80::1", 4, Some("2001:db8:1::6"))]), ["eth1 {2001:db8:1::6}"]);
        let both = [hop("192.0.2.1", 3, Some("192.0.2.6")), hop("fe80::1", 3, Some("2001:db8::77"))];
        assert_eq!(found(&both), ["eth0 {192.0.2.6, 2001:db8::77}"]);
        assert_eq!(found(&[hop("192.0.2.1", 9, Some("192.0.2.6"))]), none, "a device that is gone");
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
