//! Ports of the host, with real packets.

use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::call::Call;
use crate::conversation::{PATIENCE, REFUSAL, ask_tcp, ask_udp, neighbour, serve_tcp, serve_udp, unplug};
use crate::node::{DUAL_STACK, Node, Pod, on_node, succeed};

fn mappings(entries: &[(u16, u16, &str, &str)]) -> Value {
    let entry = |(host, pod, protocol, address): &(u16, u16, &str, &str)| json!({"hostPort": host, "containerPort": pod, "protocol": protocol, "hostIP": address});
    json!({"portMappings": entries.iter().map(entry).collect::<Vec<_>>()})
}

fn end(node: &Node, pods: &[(&Pod, &str)]) {
    for (pod, container_id) in pods {
        Call::new("DEL", node, pod, container_id).run().silent();
    }
    node.assert_nothing_left();
}

#[test]
fn host_ports_lead_to_the_pod_from_everywhere() {
    on_node(&DUAL_STACK, |node| {
        let (pod, other) = (Pod::new(), Pod::new());
        let asked = mappings(&[(8080, 80, "tcp", ""), (5353, 53, "udp", "")]);
        Call::new("ADD", node, &pod, "pod").asking(asked).run().result();
        Call::new("ADD", node, &other, "other").run().result();
        serve_tcp(&pod, 80);
        serve_udp(&pod, 53);
        let outside = neighbour();
        for (host, client, other_pod) in
            [("192.0.2.1", "192.0.2.9", "10.42.0.3"), ("2001:db8::1", "2001:db8::9", "fd42::3")]
        {
            // From outside and from another pod, the client's address stays.
            assert_eq!(outside.inside(|| ask_tcp(host, 8080, PATIENCE)).as_deref(), Some(client));
            assert_eq!(outside.inside(|| ask_udp(host, 5353)).as_deref(), Some(client));
            assert_eq!(other.inside(|| ask_tcp(host, 8080, PATIENCE)).as_deref(), Some(other_pod));
            // From the host itself, and from the pod to itself, whose own address would never be answered.
            assert_eq!(ask_tcp(host, 8080, PATIENCE).as_deref(), Some(host));
            assert_eq!(pod.inside(|| ask_tcp(host, 8080, PATIENCE)).as_deref(), Some(host));
            assert_eq!(pod.inside(|| ask_udp(host, 5353)).as_deref(), Some(host));
            assert_eq!(outside.inside(|| ask_tcp(host, 5353, REFUSAL)), None, "that one is UDP");
        }
        assert_eq!(ask_tcp("127.0.0.1", 8080, PATIENCE).as_deref(), Some("192.0.2.1"));
        unplug();
        end(node, &[(&pod, "pod"), (&other, "other")]);
        assert_eq!(ask_tcp("192.0.2.1", 8080, REFUSAL), None);
    });
}

#[test]
fn host_address_bounds_a_port() {
    on_node(&DUAL_STACK, |node| {
        let (first, second) = (Pod::new(), Pod::new());
        succeed(Command::new("ip").args("address add 192.0.2.2/24 dev uplink".split(' ')));
        Call::new("ADD", node, &first, "first").asking(mappings(&[(8080, 80, "tcp", "192.0.2.2")])).run().result();
        // Of a port of one address and the same of all, the one of the address comes first.
        Call::new("ADD", node, &second, "second").asking(mappings(&[(8080, 81, "tcp", "")])).run().result();
        serve_tcp(&first, 80);
        let outside = neighbour();
        assert_eq!(outside.inside(|| ask_tcp("192.0.2.2", 8080, PATIENCE)).as_deref(), Some("192.0.2.9"));
        assert_eq!(outside.inside(|| ask_tcp("192.0.2.1", 8080, REFUSAL)), None);
        serve_tcp(&second, 81);
        assert_eq!(outside.inside(|| ask_tcp("192.0.2.1", 8080, PATIENCE)).as_deref(), Some("192.0.2.9"));

        let third = Pod::new();
        let before = node.state();
        let refused = Call::new("ADD", node, &third, "third").asking(mappings(&[(8080, 82, "tcp", "192.0.2.2")])).run();
        assert_eq!(refused.failure(), (105, "the host port tcp 192.0.2.2:8080 belongs to shop/pod-first".to_owned()));
        assert_eq!(node.state(), before);
        unplug();
        succeed(Command::new("ip").args("address del 192.0.2.2/24 dev uplink".split(' ')));
        end(node, &[(&first, "first"), (&second, "second")]);
    });
}

#[test]
fn sctp_is_led_on_too() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "pod").asking(mappings(&[(9000, 90, "sctp", "")])).run().result();
        let printed = succeed(Command::new("nft").args(["list", "map", "inet", "carrick-cni", "ports-ipv4"]));
        assert!(printed.contains("sctp . 9000 : 10.42.0.2 . 90"), "{printed}");
        end(node, &[(&pod, "pod")]);
    });
}

#[test]
fn flushed_table_is_made_whole_by_the_next_pod() {
    on_node(&DUAL_STACK, |node| {
        let (first, second) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &first, "first").asking(mappings(&[(8080, 80, "tcp", "")])).run().result();
        let whole = succeed(Command::new("nft").args(["list", "ruleset"]));
        succeed(Command::new("nft").args(["flush", "ruleset"]));
        Call::new("ADD", node, &second, "second").run().result();
        assert_eq!(succeed(Command::new("nft").args(["list", "ruleset"])), whole);
        succeed(Command::new("nft").args(["flush", "ruleset"]));
        end(node, &[(&first, "first"), (&second, "second")]);
    });
}

#[test]
fn pods_do_not_reach_the_hosts_loopback() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "pod").asking(mappings(&[(8080, 80, "tcp", "")])).run().result();
        let listener = TcpListener::bind("127.0.0.1:7000").unwrap();
        listener.set_nonblocking(true).unwrap();
        // As a pod that may change its own routes would try it.
        pod.succeed("ip", &["route", "add", "127.0.0.9/32", "via", "169.254.1.1", "dev", "eth0"]);
        pod.inside(|| std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap());
        pod.succeed("ip", &["rule", "add", "pref", "0", "to", "127.0.0.9", "lookup", "main"]);
        pod.succeed("ip", &["rule", "del", "pref", "0", "lookup", "local"]);
        pod.succeed("ip", &["rule", "add", "pref", "10", "lookup", "local"]);
        assert_eq!(pod.inside(|| ask_tcp("127.0.0.9", 7000, REFUSAL)), None);
        assert!(listener.accept().is_err());
        end(node, &[(&pod, "pod")]);
    });
}
