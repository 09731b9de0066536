//! What other programs put into Carrick's own tables and onto Carrick's devices goes with the next comparison. What is not Carrick's stays.

use std::collections::BTreeSet;
use std::time::Duration;

use carrick_dataplane::HandoverDataplane;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use crate::node::{Node, on_node, run};
use crate::plans;

/// Everything that can be seen of Carrick's on a node.
fn seen() -> BTreeSet<String> {
    [
        "ip route show table 1107",
        "ip -6 route show table 1107",
        "ip rule show",
        "ip -6 rule show",
        "ip -oneline address show dev carrick0",
        "ip -oneline address show dev carrick-vx",
        "ip neighbour show dev carrick-vx nud permanent",
        "bridge fdb show dev carrick-vx",
    ]
    .into_iter()
    .flat_map(|command| {
        run(command).replace(" tentative", "").lines().map(|line| format!("{command}: {line}")).collect::<Vec<_>>()
    })
    .collect()
}

/// What is in one of both alone.
fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Vec<String> {
    before.symmetric_difference(after).cloned().collect()
}

const STRAYS: [(&str, &str); 22] = [
    ("before Carrick's, without a metric", "ip route add blackhole 10.128.1.0/24 table 1107"),
    ("beside Carrick's", "ip route add blackhole 10.128.1.0/25 table 1107 proto static"),
    ("with Carrick's own number and metric", "ip route add prohibit 10.99.0.0/16 table 1107 proto 107 metric 100"),
    ("for a type of service", "ip route add blackhole 10.128.1.0/24 tos 0x10 table 1107 metric 100"),
    (
        "of another protocol, in the place of Carrick's",
        "ip route replace 10.128.1.0/24 dev eth0 table 1107 proto bird metric 100",
    ),
    (
        "with several next hops",
        "ip route add 10.98.0.0/16 table 1107 nexthop via 10.0.0.2 dev eth0 nexthop via 10.0.0.3 dev eth0",
    ),
    ("beside Carrick's, appended", "ip route append 10.128.1.0/24 via 10.0.0.2 dev eth0 table 1107 metric 100"),
    (
        "with encapsulation",
        "ip route add 10.97.0.0/16 encap ip id 7 dst 10.0.0.9 dev eth0 table 1107 proto 107 metric 100",
    ),
    ("a default route", "ip route add default via 10.0.0.2 dev eth0 table 1107"),
    ("IPv6, before Carrick's", "ip -6 route add blackhole fd42:0:0:2::/64 table 1107 metric 1"),
    ("IPv6, without a metric", "ip -6 route add unreachable fd42:0:0:2::/65 table 1107"),
    ("IPv6, for a source", "ip -6 route add fd42:0:0:2::/64 from fd00::/64 via fd00::2 dev eth0 table 1107 metric 100"),
    (
        "IPv6, with several next hops",
        "ip -6 route add fd98::/64 table 1107 nexthop via fd00::2 dev eth0 nexthop via fd00::3 dev eth0",
    ),
    (
        "IPv6, of another protocol, in the place of Carrick's",
        "ip -6 route replace fd42:0:0:2::/64 via fd00::2 dev eth0 table 1107 metric 100",
    ),
    (
        "a rule with Carrick's number, for some packets",
        "ip rule add from 10.0.0.9 lookup 1107 priority 77 protocol 107",
    ),
    ("a rule with Carrick's number", "ip rule add to 10.9.0.0/16 lookup main priority 78 protocol 107"),
    (
        "an IPv6 rule with Carrick's number that leads nowhere",
        "ip -6 rule add from fd99::/64 blackhole priority 79 protocol 107",
    ),
    ("an address of the device", "ip address add 10.66.0.1/24 dev carrick0"),
    ("an IPv6 address of the device", "ip address add fd66::1/64 dev carrick-vx nodad"),
    ("a neighbour", "ip neighbour add 10.66.0.2 lladdr 02:00:00:00:00:66 dev carrick-vx nud permanent"),
    ("a forwarding entry", "bridge fdb append 02:00:00:00:00:66 dev carrick-vx dst 10.0.0.66"),
    ("a flooding entry", "bridge fdb append 00:00:00:00:00:00 dev carrick-vx dst 10.0.0.66"),
];

#[test]
fn a_stray_in_carricks_tables_and_devices_is_told_and_removed() {
    on_node(|node| {
        run("ip link set carrick0 up");
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        let before = seen();
        let mut watch = node.dataplane.watch(&plan.wireguard.device, &plan.vxlan.device).unwrap();
        for (what, command) in STRAYS {
            run(command);
            assert_ne!(seen(), before, "{what}: the test adds nothing");
            let mut readable = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(Duration::from_secs(5)).unwrap();
            assert_eq!(poll(&mut readable, timeout).unwrap(), 1, "{what}: no notification");
            assert_ne!(watch.read().unwrap(), [], "{what}: not told");
            node.reach(&plan);
            assert_eq!(difference(&before, &seen()), [""; 0], "{what}");
            node.assert_settled(&plan);
            watch.read().unwrap();
        }
    });
}

#[test]
fn what_is_not_carricks_stays() {
    on_node(|node| {
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        for command in [
            "ip route add blackhole 10.128.1.0/24 table 1108",
            "ip route add blackhole 10.95.0.0/16 metric 100",
            "ip -6 route add blackhole fd95::/64 table 1000",
            "ip rule add from 10.0.0.9 lookup 1107 priority 1107",
            "ip -6 rule add from fd99::/64 lookup 1000 priority 1106",
            "ip address add 10.94.0.1/24 dev eth0",
        ] {
            run(command);
        }
        let all = || {
            [
                "ip route show table 1108",
                "ip route show table main",
                "ip -6 route show table 1000",
                "ip rule",
                "ip -6 rule",
                "ip -oneline -4 address",
            ]
            .map(run)
        };
        let before = all();
        node.assert_settled(&plan);
        HandoverDataplane::open().unwrap().apply(&plan).unwrap();
        assert_eq!(all(), before);
    });
}

#[test]
fn strays_in_the_tables_of_a_handover_go_when_everything_is_compared() {
    on_node(|node: &mut Node| {
        let plan = plans::mesh(20, 3);
        node.reach(&plan);
        let mut handover = HandoverDataplane::open().unwrap();
        handover.apply(&plan).unwrap();
        for command in [
            "ip route add blackhole 10.128.1.0/24 table 1106",
            "ip -6 route add blackhole fd42:0:0:2::/64 table 1105",
            "ip rule add from 10.0.0.9 lookup 1106 priority 80 protocol 109",
            "ip link add carrick-ho type bridge",
        ] {
            run(command);
            assert_eq!(handover.apply(&plan).unwrap().operations.len(), 0, "{command}: the kernel was not to be read");
            handover.look_again();
            assert_eq!(handover.apply(&plan).unwrap().operations.len(), 1, "{command}");
        }
        let left = ["ip route show table 1106", "ip -6 route show table 1105", "ip rule"].map(run).concat();
        assert!(!left.contains("blackhole") && !left.contains("1106"), "{left}");
    });
}
