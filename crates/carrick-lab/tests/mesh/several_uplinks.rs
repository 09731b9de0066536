//! Hosts with several uplinks, whose default route has several next hops.

use carrick_lab::wait;
use serde_json::Value;

use crate::mesh::Mesh;

/// The second uplink of a node, with a smaller MTU than the first one.
const SECOND_UPLINK: [&str; 6] = [
    "link add eth1 type veth peer name router",
    "link set router up",
    "link set eth1 mtu 1400 up",
    "address add 172.31.1.2/30 dev eth1",
    "address add fd31::2/64 dev eth1 nodad",
    "address add 10.99.0.7/32 dev lo",
];

/// The default route of the host at its start.
const FIRST: &str = "route replace default via 198.51.100.1 dev eth0 onlink src 198.51.100.2";

/// Default routes over both uplinks or the second one: what it is, how it is made, and how the first default route comes back.
const DEFAULT_ROUTES: [(&str, &[&str], &[&str]); 4] = [
    (
        "next hops of one route, and the address on the loopback device",
        &[
            "route replace default src 10.99.0.7 nexthop via 10.10.0.1 dev eth0 nexthop via 172.31.1.1 dev eth1 weight 3",
        ],
        &[FIRST],
    ),
    (
        "a group of next-hop objects",
        &[
            "nexthop add id 1 via 10.10.0.1 dev eth0",
            "nexthop add id 2 via 172.31.1.1 dev eth1",
            "nexthop add id 3 group 1/2",
            "route replace default nhid 3",
        ],
        &[FIRST, "nexthop flush"],
    ),
    (
        "IPv6 routers of two links",
        &["-6 route add default metric 5 nexthop via fd00:10::1 dev eth0 nexthop via fd31::1 dev eth1"],
        &["-6 route delete default metric 5"],
    ),
    ("the second uplink alone", &["route replace default via 172.31.1.1 dev eth1"], &[FIRST]),
];

#[test]
fn all_next_hops_of_a_default_route_count_for_the_mtus() {
    let mesh = Mesh::up("locations: [{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    mesh.all_reach();
    let host = mesh.node_namespaces("a1");
    let ip = |arguments: &str| {
        let command: Vec<&str> = ["ip"].into_iter().chain(arguments.split(' ')).collect();
        host.exec(&command).unwrap();
    };
    let mtus = || {
        let status = mesh.status("a1");
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        (number(&status["settings"]["local"]["uplink_mtu"]), number(&status["plan"]["pod_mtu"]))
    };
    let wait_for = |what: &str, uplink: u64, pods: u64| {
        let mut last = (0, 0);
        let found = wait::until(what, || {
            last = mtus();
            Ok((last == (uplink, pods)).then_some(()))
        });
        assert!(found.is_ok(), "{what}: {last:?}");
    };
    SECOND_UPLINK.into_iter().for_each(ip);
    wait_for("without another default route", 1500, 1440);
    for (what, made, undone) in DEFAULT_ROUTES {
        made.iter().copied().for_each(ip);
        wait_for(what, 1400, 1340);
        undone.iter().copied().for_each(ip);
        wait_for("the first default route again", 1500, 1440);
    }
    mesh.all_reach();
}
