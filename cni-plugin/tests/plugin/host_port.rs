//! Host ports, with real packets.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use carrick_netlink::conntrack::{self, Connection, Filter};
use carrick_netlink::{Protocol, Socket};
use carrick_pods::host_port::Transport;
use serde_json::{Value, json};

use crate::call::{Call, detach_all};
use crate::echo::{
    PATIENCE, REFUSAL, ask_from, ask_sctp, ask_tcp, ask_udp, neighbour, serve_sctp, serve_tcp, serve_udp, unplug,
};
use crate::node::{DUAL_STACK, Pod, on_node, succeed};

fn mappings(entries: &[(u16, u16, &str, &str)]) -> Value {
    let entry = |(host, pod, protocol, address): &(u16, u16, &str, &str)| json!({"hostPort": host, "containerPort": pod, "protocol": protocol, "hostIP": address});
    json!({"portMappings": entries.iter().map(entry).collect::<Vec<_>>()})
}

#[test]
fn a_host_port_is_reached_from_outside_from_pods_and_from_the_host() {
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
            // From outside and from another pod, the source address does not change.
            assert_eq!(outside.inside(|| ask_tcp(host, 8080, PATIENCE)).as_deref(), Some(client));
            assert_eq!(outside.inside(|| ask_udp(host, 5353)).as_deref(), Some(client));
            assert_eq!(other.inside(|| ask_tcp(host, 8080, PATIENCE)).as_deref(), Some(other_pod));
            // From the host and from the pod itself, the source address is the host's.
            assert_eq!(ask_tcp(host, 8080, PATIENCE).as_deref(), Some(host));
            assert_eq!(pod.inside(|| ask_tcp(host, 8080, PATIENCE)).as_deref(), Some(host));
            assert_eq!(pod.inside(|| ask_udp(host, 5353)).as_deref(), Some(host));
            assert_eq!(outside.inside(|| ask_tcp(host, 5353, REFUSAL)), None, "port 5353 is UDP");
        }
        assert_eq!(ask_tcp("127.0.0.1", 8080, PATIENCE).as_deref(), Some("192.0.2.1"));
        unplug();
        detach_all(node, &[(&pod, "pod"), (&other, "other")]);
        assert_eq!(ask_tcp("192.0.2.1", 8080, REFUSAL), None);
    });
}

#[test]
fn a_host_address_restricts_a_host_port() {
    on_node(&DUAL_STACK, |node| {
        let (first, second) = (Pod::new(), Pod::new());
        succeed(Command::new("ip").args("address add 192.0.2.2/24 dev uplink".split(' ')));
        Call::new("ADD", node, &first, "first").asking(mappings(&[(8080, 80, "tcp", "192.0.2.2")])).run().result();
        // A host port of one address takes precedence over the same port of all addresses.
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
        detach_all(node, &[(&first, "first"), (&second, "second")]);
    });
}

#[test]
fn a_host_address_of_another_family_keeps_no_pod_from_starting() {
    on_node(&DUAL_STACK[1..], |node| {
        let pod = Pod::new();
        let asked = mappings(&[(8080, 80, "tcp", "0.0.0.0"), (8081, 80, "tcp", "192.0.2.1"), (8082, 80, "tcp", "::")]);
        Call::new("ADD", node, &pod, "pod").asking(asked).run().result();
        serve_tcp(&pod, 80);
        let outside = neighbour();
        assert_eq!(outside.inside(|| ask_tcp("2001:db8::1", 8082, PATIENCE)).as_deref(), Some("2001:db8::9"));
        assert_eq!(outside.inside(|| ask_tcp("2001:db8::1", 8080, REFUSAL)), None);
        unplug();
        detach_all(node, &[(&pod, "pod")]);
    });
}

#[test]
fn an_sctp_host_port_is_in_the_table() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "pod").asking(mappings(&[(9000, 90, "sctp", "")])).run().result();
        let printed = succeed(Command::new("nft").args(["list", "map", "inet", "carrick-cni", "ports-ipv4"]));
        assert!(printed.contains("sctp . 9000 : 10.42.0.2 . 90"), "{printed}");
        detach_all(node, &[(&pod, "pod")]);
    });
}

#[test]
#[ignore = "needs a kernel with SCTP: scripts/test-vm.sh boots one"]
fn an_sctp_host_port_is_reached() {
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
            assert_eq!(outside.inside(|| ask_sctp(client, host, 9001)), None, "port 9001 is not a host port");
        }
        unplug();
        detach_all(node, &[(&pod, "pod"), (&other, "other")]);
    });
}

/// A client keeps sending from one socket, while the pod of the host port changes.
#[test]
fn datagrams_reach_the_next_pod_of_a_host_port() {
    on_node(&DUAL_STACK, |node| {
        // The kernel tracks connections only if the table exists, which needs a pod.
        let other = Pod::new();
        Call::new("ADD", node, &other, "other").run().result();
        let outside = neighbour();
        for (host, client) in [("192.0.2.1", "192.0.2.9"), ("2001:db8::1", "2001:db8::9")] {
            let asked = mappings(&[(5353, 53, "udp", "")]);
            let socket = outside.inside(|| UdpSocket::bind((client, 0)).unwrap());
            // Goes to the host itself, and the kernel tracks that.
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
        detach_all(node, &[(&other, "other")]);
    });
}

/// While the table is flushed, the kernel tracks a connection to the host itself.
#[test]
fn datagrams_reach_the_pod_again_after_a_flush() {
    on_node(&DUAL_STACK, |node| {
        let (pod, next) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &pod, "pod").asking(mappings(&[(5353, 53, "udp", "192.0.2.1")])).run().result();
        serve_udp(&pod, 53);
        let outside = neighbour();
        let socket = outside.inside(|| UdpSocket::bind(("192.0.2.9", 0)).unwrap());
        succeed(Command::new("nft").args(["flush", "ruleset"]));
        // The kernel tracks connections only if a rule uses them.
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
        detach_all(node, &[(&pod, "pod"), (&next, "next")]);
    });
}

#[test]
fn connections_to_other_hosts_on_the_same_port_are_kept() {
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
        detach_all(node, &[(&client, "client")]);
    });
}

/// Waits until the kernel has received a datagram that no program answers.
fn wait_until_tracked(host: &str, port: u16) {
    let deadline = Instant::now() + PATIENCE;
    while tracked(host, port).is_empty() {
        assert!(Instant::now() < deadline, "no connection to {host}, port {port} is tracked");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The UDP connections to this address and port that the node tracks.
fn tracked(host: &str, port: u16) -> Vec<Connection> {
    let host: IpAddr = host.parse().unwrap();
    let mut socket = Socket::open(Protocol::Netfilter).unwrap();
    let filter = Filter { family: host.into(), protocol: Transport::Udp.number(), port };
    let connections = conntrack::dump(&mut socket, &filter).unwrap();
    connections.into_iter().filter(|connection| connection.original.destination.ip() == host).collect()
}

#[test]
fn the_next_add_restores_a_flushed_table() {
    on_node(&DUAL_STACK, |node| {
        let (first, second) = (Pod::new(), Pod::new());
        Call::new("ADD", node, &first, "first").asking(mappings(&[(8080, 80, "tcp", "")])).run().result();
        let whole = succeed(Command::new("nft").args(["list", "ruleset"]));
        succeed(Command::new("nft").args(["flush", "ruleset"]));
        Call::new("ADD", node, &second, "second").run().result();
        assert_eq!(succeed(Command::new("nft").args(["list", "ruleset"])), whole);
        succeed(Command::new("nft").args(["flush", "ruleset"]));
        detach_all(node, &[(&first, "first"), (&second, "second")]);
    });
}

#[test]
fn a_pod_cannot_reach_the_hosts_loopback() {
    on_node(&DUAL_STACK, |node| {
        let pod = Pod::new();
        Call::new("ADD", node, &pod, "pod").asking(mappings(&[(8080, 80, "tcp", "")])).run().result();
        let listener = TcpListener::bind("127.0.0.9:7000").unwrap();
        listener.set_nonblocking(true).unwrap();
        // A pod that can change its own routes could try this.
        pod.succeed("ip", &["route", "add", "127.0.0.9/32", "via", "169.254.1.1", "dev", "eth0"]);
        pod.inside(|| std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap());
        pod.succeed("ip", &["rule", "add", "pref", "0", "to", "127.0.0.9", "lookup", "main"]);
        pod.succeed("ip", &["rule", "del", "pref", "0", "lookup", "local"]);
        pod.succeed("ip", &["rule", "add", "pref", "10", "lookup", "local"]);
        assert_eq!(pod.inside(|| ask_tcp("127.0.0.9", 7000, REFUSAL)), None);
        assert!(listener.accept().is_err());
        detach_all(node, &[(&pod, "pod")]);
    });
}
