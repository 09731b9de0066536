use std::process::Command;

use crate::call::{Call, detach_all};
use crate::node::{DUAL_STACK, MTU, Node, Pod, on_node, succeed};

const HOST: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const FIRST: [&str; 2] = ["10.42.0.2", "fd42::2"];
const SECOND: [&str; 2] = ["10.42.0.3", "fd42::3"];

fn attach(node: &Node, container_id: &str) -> Pod {
    let pod = Pod::new();
    pod.inside(|| std::fs::write("/proc/sys/net/ipv4/conf/all/rp_filter", "1").unwrap());
    Call::new("ADD", node, &pod, container_id).run().result();
    pod
}

#[test]
fn pods_and_host_reach_each_other() {
    on_node(&DUAL_STACK, |node| {
        let (first, second) = (attach(node, "first"), attach(node, "second"));
        for family in 0..2 {
            first.succeed("ping", &["-c1", SECOND[family]]);
            second.succeed("ping", &["-c1", FIRST[family]]);
            first.succeed("ping", &["-c1", HOST[family]]);
            first.succeed("ping", &["-c1", FIRST[family]]);
            succeed(Command::new("ping").args(["-c1", SECOND[family]]));
        }
        first.succeed("ping", &["-c1", "fe80::1%eth0"]);
        first.succeed("ping", &["-c1", "127.0.0.1"]);
        detach_all(node, &[(&first, "first"), (&second, "second")]);
    });
}

#[test]
fn all_neighbours_are_permanent_so_no_packet_waits() {
    on_node(&DUAL_STACK, |node| {
        let (first, second) = (attach(node, "first"), attach(node, "second"));
        for address in SECOND {
            first.succeed("ping", &["-c1", address]);
        }
        for pod in [&first, &second] {
            // No neighbour was resolved, so no other pod can have answered.
            let neighbours = pod.succeed("ip", &["neighbour", "show", "nud", "all"]);
            let learned = neighbours.lines().filter(|line| !line.contains("PERMANENT") && !line.contains("NOARP"));
            assert_eq!(learned.count(), 0, "{neighbours}");
        }
        detach_all(node, &[(&first, "first"), (&second, "second")]);
    });
}

#[test]
fn packets_pass_up_to_the_mtu() {
    on_node(&DUAL_STACK, |node| {
        let (first, second) = (attach(node, "first"), attach(node, "second"));
        for (family, headers) in [(0, 20 + 8), (1, 40 + 8)] {
            let size = |packet: u32| (packet - headers).to_string();
            first.succeed("ping", &["-c1", "-Mdo", "-s", &size(MTU), SECOND[family]]);
            let above = first.run("ping", &["-c1", "-Mdo", "-s", &size(MTU + 1), SECOND[family]]);
            assert!(!above.status.success(), "{above:?}");
        }
        detach_all(node, &[(&first, "first"), (&second, "second")]);
    });
}

#[test]
fn the_gateway_reports_that_a_packet_is_too_big() {
    on_node(&DUAL_STACK, |node| {
        let first = attach(node, "first");
        node.program(&DUAL_STACK, 1280);
        let second = attach(node, "second");
        let size = (MTU - 48).to_string();
        for (family, words) in [(0, "Frag needed"), (1, "Packet too big")] {
            let refused = first.run("ping", &["-c1", "-Mdo", "-s", &size, SECOND[family]]);
            let output = String::from_utf8(refused.stdout).unwrap();
            assert!(output.contains(words) && output.contains("1280"), "{output}");
        }
        detach_all(node, &[(&first, "first"), (&second, "second")]);
    });
}

#[test]
fn the_gateway_answers_if_the_host_has_no_other_ipv6_address() {
    on_node(&DUAL_STACK, |node| {
        let pod = attach(node, "first");
        for arguments in ["address flush dev uplink", "-6 address flush dev uplink"] {
            succeed(Command::new("ip").args(arguments.split(' ')));
        }
        // The gateway sends "time exceeded" from its link-local address.
        let output = pod.run("ping", &["-c1", "-t1", "2001:db8:1::1"]);
        let output = String::from_utf8(output.stdout).unwrap();
        assert!(output.contains("fe80::1"), "{output}");
        Call::new("DEL", node, &pod, "first").run().silent();
    });
}
