//! Ports of the host, with real packets.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use carrick_netlink::conntrack::{self, Connection, Filter};
use carrick_netlink::{Protocol, Socket};
use carrick_pods::host_port::Transport;
use serde_json::{Value, json};

use crate::call::Call;
use crate::conversation::{
    PATIENCE, REFUSAL, ask_from, ask_sctp, ask_tcp, ask_udp, neighbour, serve_sctp, serve_tcp, serve_udp, unplug,
};
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
#[ignore = "needs a kernel with SCTP: scripts/test-vm.sh boots one"]
fn associations_are_led_on_with_their_packets() {
    on_node(&DUAL_STACK, |node| {
        let (pod, other) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &pod, "pod").asking(mappings(&[(9000, 90, "sctp", "")])).run().result();
        Call::new("ADD", node, &other, "other").run().result();
        let outside = neighbour();
        for (host, client, pod_address, other_pod) in
            [("192.0.2.1", "192.0.2.9", "10.42.0.2", "10.42.0.3"), ("2001:db8::1", "2001:db8::9", "fd42::2", "fd42::3")]
        {
            serve_sctp(&pod, pod_address, 90);
            assert_eq!(outside.inside(|| ask_sctp(client, host, 9000)).as_deref(), Some(client));
            assert_eq!(other.inside(|| ask_sctp(other_pod, host, 9000)).as_deref(), Some(other_pod));
            assert_eq!(outside.inside(|| ask_sctp(client, host, 9001)), None, "that port is nobody's");
        }
        unplug();
        end(node, &[(&pod, "pod"), (&other, "other")]);
    });
}

/// A client that sends all the time from one socket, while pods come and go behind the port.
#[test]
fn datagrams_follow_the_port_from_pod_to_pod() {
    on_node(&DUAL_STACK, |node| {
        // Before the first pod the table, and with it tracking, is not there.
        let other = Pod::new();
        Call::new("ADD", node, &other, "other").run().result();
        let outside = neighbour();
        for (host, client) in [("192.0.2.1", "192.0.2.9"), ("2001:db8::1", "2001:db8::9")] {
            let asked = mappings(&[(5353, 53, "udp", "")]);
            let socket = outside.inside(|| UdpSocket::bind((client, 0)).unwrap());
            // To the host itself, which the kernel remembers.
            let unanswered = || {
                socket.send_to(b"?", (host, 5353)).unwrap();
                wait_until_tracked(host, 5353);
            };
            unanswered();
            for container_id in ["first", "second"] {
                let pod = Pod::new();
                Call::new("ADD", node, &pod, container_id).asking(asked.clone()).run().result();
                serve_udp(&pod, 53);
                assert_eq!(ask_from(&socket, host, 5353).as_deref(), Some(client), "{container_id}");
                Call::new("DEL", node, &pod, container_id).run().silent();
                assert_eq!(tracked(host, 5353), []);
                unanswered();
            }
        }
        unplug();
        end(node, &[(&other, "other")]);
    });
}

/// While somebody had flushed the table, the kernel learned that the port is the host's.
#[test]
fn datagrams_find_the_port_again_after_a_flush() {
    on_node(&DUAL_STACK, |node| {
        let (pod, next) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &pod, "pod").asking(mappings(&[(5353, 53, "udp", "192.0.2.1")])).run().result();
        serve_udp(&pod, 53);
        let outside = neighbour();
        let socket = outside.inside(|| UdpSocket::bind(("192.0.2.9", 0)).unwrap());
        succeed(Command::new("nft").args(["flush", "ruleset"]));
        // Connections are tracked as long as a rule asks for them.
        for rule in [
            "add table inet t",
            "add chain inet t c { type filter hook input priority 0 ; }",
            "add rule inet t c ct state new accept",
        ] {
            succeed(Command::new("nft").args(rule.split(' ')));
        }
        socket.send_to(b"?", ("192.0.2.1", 5353)).unwrap();
        wait_until_tracked("192.0.2.1", 5353);
        Call::new("ADD", node, &next, "next").run().result();
        assert_eq!(ask_from(&socket, "192.0.2.1", 5353).as_deref(), Some("192.0.2.9"));
        unplug();
        end(node, &[(&pod, "pod"), (&next, "next")]);
    });
}

#[test]
fn conversations_with_others_on_the_same_port_stay() {
    on_node(&DUAL_STACK, |node| {
        let (client, pod) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &client, "client").run().result();
        let outside = neighbour();
        outside.succeed("ip", &["route", "add", "10.42.0.0/24", "via", "192.0.2.1"]);
        serve_udp(&outside, 5353);
        assert_eq!(client.inside(|| ask_udp("192.0.2.9", 5353)).as_deref(), Some("10.42.0.2"));
        let before = tracked("192.0.2.9", 5353);
        assert_eq!(before.len(), 1);
        Call::new("ADD", node, &pod, "pod").asking(mappings(&[(5353, 53, "udp", "")])).run().result();
        Call::new("DEL", node, &pod, "pod").run().silent();
        assert_eq!(tracked("192.0.2.9", 5353), before);
        unplug();
        end(node, &[(&client, "client")]);
    });
}

/// A datagram that nobody answers is on its way for a while.
fn wait_until_tracked(host: &str, port: u16) {
    let patience = Instant::now() + PATIENCE;
    while tracked(host, port).is_empty() {
        assert!(Instant::now() < patience, "nothing is tracked to {host}, port {port}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The connections of UDP that the node tracks to this address and port.
fn tracked(host: &str, port: u16) -> Vec<Connection> {
    let host: IpAddr = host.parse().unwrap();
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let filter = Filter { family: host.into(), protocol: Transport::Udp.number(), port };
    let connections = conntrack::dump(&mut socket, &filter).unwrap();
    connections.into_iter().filter(|connection| connection.original.destination.ip() == host).collect()
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
