use std::net::IpAddr;

use carrick_netlink::address::{self, Address};
use carrick_netlink::route::{self, Filter, Kind, PathMtu, Route};
use carrick_netlink::rule::{self, Rule};
use carrick_netlink::{Family, Socket};
use ipnet::IpNet;

use crate::namespace::{fresh, ip_command, make_device, route_socket};

const TABLE: u32 = 1107;
const PROTOCOL: u8 = 107;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ours(family: Family) -> Filter {
    Filter { family, table: Some(TABLE), protocol: Some(PROTOCOL), device: None }
}

fn own_routes(socket: &mut Socket) -> Vec<Route> {
    let mut routes = route::dump(socket, &ours(Family::V4)).unwrap();
    routes.extend(route::dump(socket, &ours(Family::V6)).unwrap());
    routes.sort();
    routes
}

/// A device with an address of each family, so that routes can name a source.
fn prepared(socket: &mut Socket) -> u32 {
    let device = make_device(socket, "d0");
    for network in ["10.4.0.1/32", "fdca::1/128"] {
        socket.execute(&address::add(&Address::without_side_effects(device, net(network)))).unwrap();
    }
    device
}

#[test]
fn every_kind_of_route_reads_back_as_it_was_written() {
    fresh(|| {
        let mut socket = route_socket();
        let device = prepared(&mut socket);
        let through = |destination| Route::through(net(destination), TABLE, PROTOCOL, device);
        let without = |destination, kind| Route::without_device(net(destination), TABLE, PROTOCOL, kind);
        let mut wanted = vec![
            through("10.42.1.0/24"),
            through("fd42:1::/64"),
            Route {
                source: Some(ip("10.4.0.1")),
                mtu: Some(PathMtu::Learned(1300)),
                metric: 50,
                ..through("10.42.2.0/24")
            },
            Route {
                source: Some(ip("fdca::1")),
                mtu: Some(PathMtu::Learned(1300)),
                metric: 50,
                ..through("fd42:2::/64")
            },
            Route { mtu: Some(PathMtu::Locked(1300)), ..through("10.42.7.0/24") },
            Route { mtu: Some(PathMtu::Locked(1300)), ..through("fd42:7::/64") },
            Route { onlink: true, ..through("10.42.3.0/24").via(ip("10.4.0.3")) },
            Route { onlink: true, ..through("fd42:3::/64").via(ip("fdca::3")) },
            Route { onlink: true, ..through("10.42.4.0/24").via(ip("fe80::4")) },
            Route { metric: 4_000_000, ..without("10.42.1.0/24", Kind::Unreachable) },
            Route { metric: 4_000_000, ..without("fd42:1::/64", Kind::Unreachable) },
            without("10.42.5.0/24", Kind::Blackhole),
            without("fd42:5::/64", Kind::Blackhole),
            without("10.42.6.0/24", Kind::Throw),
            without("fd42:6::/64", Kind::Throw),
            through("0.0.0.0/0"),
            through("::/0"),
        ];
        for (result, route) in socket.batch(&wanted.iter().map(route::add).collect::<Vec<_>>()).into_iter().zip(&wanted)
        {
            result.unwrap_or_else(|error| panic!("{error}: {route:?}"));
        }
        wanted.sort();
        assert_eq!(own_routes(&mut socket), wanted);

        for result in socket.batch(&wanted.iter().map(route::delete).collect::<Vec<_>>()) {
            result.unwrap();
        }
        assert_eq!(own_routes(&mut socket), []);
    });
}

#[test]
fn replacing_changes_the_route_in_its_place() {
    fresh(|| {
        let mut socket = route_socket();
        let device = prepared(&mut socket);
        let other = make_device(&mut socket, "d1");
        for destination in ["10.42.1.0/24", "fd42:1::/64"] {
            let old = Route::through(net(destination), TABLE, PROTOCOL, device);
            let new = Route { device: Some(other), mtu: Some(PathMtu::Learned(1400)), ..old };
            socket.execute(&route::add(&old)).unwrap();
            assert!(socket.execute(&route::add(&old)).unwrap_err().is_exists());
            socket.execute(&route::replace(&new)).unwrap();
            assert_eq!(route::dump(&mut socket, &ours(new.family())).unwrap(), [new]);
            assert!(socket.execute(&route::delete(&old)).unwrap_err().is_not_found(), "all fields must match");
            let locked = Route { mtu: Some(PathMtu::Locked(1400)), ..new };
            for now in [locked, new] {
                socket.execute(&route::replace(&now)).unwrap();
                assert_eq!(route::dump(&mut socket, &ours(now.family())).unwrap(), [now]);
            }
        }
    });
}

#[test]
fn filters_leave_the_routes_of_others_out() {
    fresh(|| {
        let mut socket = route_socket();
        let device = prepared(&mut socket);
        let other = make_device(&mut socket, "d1");
        let own = Route::through(net("10.42.1.0/24"), TABLE, PROTOCOL, device);
        let foreign_table = Route { table: 254, ..own };
        let foreign_protocol = Route { protocol: 4, metric: 7, ..own };
        let foreign_device = Route { device: Some(other), metric: 8, ..own };
        for route in [&own, &foreign_table, &foreign_protocol, &foreign_device] {
            socket.execute(&route::add(route)).unwrap();
        }
        let filter = Filter { device: Some(device), ..ours(Family::V4) };
        assert_eq!(route::dump(&mut socket, &filter).unwrap(), [own]);
    });
}

#[test]
fn table_that_does_not_exist_is_empty() {
    fresh(|| assert_eq!(own_routes(&mut route_socket()), []));
}

#[test]
fn lookup_follows_rules_and_reports_unreachable() {
    fresh(|| {
        let mut socket = route_socket();
        let device = prepared(&mut socket);
        for (destination, source, family) in
            [("10.42.1.9", "10.4.0.1", Family::V4), ("fd42:1::9", "fdca::1", Family::V6)]
        {
            let (destination, source) = (ip(destination), ip(source));
            assert!(route::lookup(&mut socket, destination, 0).is_err());
            let route = Route { source: Some(source), ..Route::through(destination.into(), TABLE, PROTOCOL, device) };
            socket.execute(&route::add(&route)).unwrap();
            let rule = Rule::new(family, 1107, TABLE, PROTOCOL);
            socket.execute(&rule::add(&rule)).unwrap();
            let found = route::lookup(&mut socket, destination, 0).unwrap();
            assert_eq!((found.device, found.source), (Some(device), Some(source)));
        }
    });
}

#[test]
fn thousands_of_routes_go_in_one_call_and_are_listed_whole() {
    fresh(|| {
        let mut socket = route_socket();
        let device = prepared(&mut socket);
        let wanted: Vec<Route> = (0..5000u32)
            .map(|n| {
                let destination = IpNet::new(std::net::Ipv4Addr::from(0x0a80_0000 + (n << 8)).into(), 24).unwrap();
                Route::through(destination, TABLE, PROTOCOL, device)
            })
            .collect();
        let before = socket.writes();
        let results = socket.batch(&wanted.iter().map(route::add).collect::<Vec<_>>());
        assert_eq!(results.len(), 5000);
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(socket.writes() - before, 5000);

        let mut listed = own_routes(&mut socket);
        listed.sort();
        assert_eq!(listed, wanted);
        assert_eq!(socket.writes() - before, 5000, "listing writes nothing");
    });
}

#[test]
fn each_next_hop_of_a_multipath_route_is_listed() {
    fresh(|| {
        let mut socket = route_socket();
        let devices = ["d0", "d1"].map(|name| make_device(&mut socket, name));
        for arguments in [
            "addr add 172.31.0.2/30 dev d0",
            "addr add 172.31.1.2/30 dev d1",
            "addr add fd00:0::2/64 dev d0 nodad",
            "addr add fd00:1::2/64 dev d1 nodad",
            "addr add 10.10.1.5/32 dev d0",
            "route add default src 10.10.1.5 metric 20 nexthop via 172.31.0.1 dev d0 nexthop via 172.31.1.1 dev d1 weight 3",
            "route add 10.8.0.0/24 via 172.31.1.1",
            "-6 route add default nexthop via fd00:0::1 dev d0 nexthop via fd00:1::1 dev d1",
            "route add 10.9.0.0/24 nexthop via inet6 fd00:0::1 dev d0 nexthop via inet6 fd00:1::1 dev d1",
        ] {
            ip_command(arguments);
        }
        let hops = |socket: &mut Socket, family, destination: &str| {
            let routes = route::dump_next_hops(socket, family, 254).unwrap();
            let to = routes.into_iter().filter(|route| route.destination == net(destination));
            to.map(|route| (route.device, route.via)).collect::<Vec<_>>()
        };
        let [d0, d1] = devices.map(Some);
        let via = |text| Some(ip(text));
        let default = hops(&mut socket, Family::V4, "0.0.0.0/0");
        assert_eq!(default, [(d0, via("172.31.0.1")), (d1, via("172.31.1.1"))]);
        let sources = route::dump_next_hops(&mut socket, Family::V4, 254).unwrap();
        assert!(sources.iter().filter(|route| route.metric == 20).all(|route| route.source == via("10.10.1.5")));
        assert_eq!(hops(&mut socket, Family::V4, "10.8.0.0/24"), [(d1, via("172.31.1.1"))]);
        assert_eq!(hops(&mut socket, Family::V6, "::/0"), [(d0, via("fd00:0::1")), (d1, via("fd00:1::1"))]);
        let over_v6 = hops(&mut socket, Family::V4, "10.9.0.0/24");
        assert_eq!(over_v6, [(d0, via("fd00:0::1")), (d1, via("fd00:1::1"))]);
    });
}
