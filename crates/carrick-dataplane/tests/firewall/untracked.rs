//! What the node only forwards between other nodes is not tracked as a connection, and connections that it redirects still work.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::net::UdpSocket;

use carrick_dataplane::firewall::{Applied, TableChange};

use crate::namespace::{Namespace, at_port, is_silent, socket_seen, source_seen};
use crate::network::{
    INTERNET, MESH, NEAR_POD, NEIGHBOUR, NODE, Network, POD, Pair, REMOTE_POD, address, in_both, nets, plan,
};

/// So many datagrams, each to another port.
const FLOOD: u16 = 2000;
const FIRST_PORT: u16 = 20_000;
/// The mesh address of another gateway.
const FAR_MESH: Pair = Pair("10.4.0.9", "fdca::9");
/// The port of a Service on the node.
const NODE_PORT: u16 = 30_080;

fn tracked(node: &Namespace) -> u64 {
    node.run(|| read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap().trim().parse().unwrap())
}

fn flood(sender: &UdpSocket, to: &str) {
    for port in FIRST_PORT..FIRST_PORT + FLOOD {
        sender.send_to(b"x", at_port(to, port)).unwrap();
    }
}

#[test]
fn pods_of_other_nodes_do_not_fill_the_connection_tracking_table() {
    let network = Network::guarded();
    let bystander = source_seen(&network.pod.socket(POD.0), &network.remote.socket(REMOTE_POD.0));
    assert_eq!(bystander, address(POD.0));
    let before = tracked(&network.node);
    assert!(before > 0, "connections of the node's own pods are tracked");
    for (near, remote) in in_both(NEAR_POD, REMOTE_POD) {
        flood(&network.near.socket(near), remote);
        flood(&network.remote.socket(remote), near);
        let (near, remote) = (network.near.socket(near), network.remote.socket(remote));
        assert_eq!(source_seen(&near, &remote), near.local_addr().unwrap().ip());
        assert_eq!(source_seen(&remote, &near), remote.local_addr().unwrap().ip());
    }
    let after = tracked(&network.node);
    assert!(after < before + 50, "{before} connections have become {after}");
}

#[test]
fn vxlan_is_not_tracked() {
    const VXLAN: u16 = 51_822;
    const HANDOVER: u16 = 51_823;
    let far = nets(&["10.4.0.9/32", "fdca::9/128"]);
    let mut in_handover = plan();
    in_handover.carried_by.entry("carrick0".parse().unwrap()).or_default().extend(far);
    let network = Network::with(&in_handover);
    network.node.ip("route add 10.4.0.9 dev carrick0\nroute add fdca::9 dev carrick0");
    let from_each_port = |from: &Namespace, source: &str, to: &str, port: u16| {
        for source_port in FIRST_PORT..FIRST_PORT + FLOOD / 4 {
            from.socket_at(source, source_port).send_to(b"x", at_port(to, port)).unwrap();
        }
    };
    let before = tracked(&network.node);
    for (neighbour, node) in in_both(NEIGHBOUR, NODE) {
        from_each_port(&network.outside, neighbour, node, VXLAN);
        from_each_port(&network.node, node, neighbour, VXLAN);
    }
    for (mesh, far) in in_both(MESH, FAR_MESH) {
        from_each_port(&network.node, mesh, far, HANDOVER);
    }
    let after = tracked(&network.node);
    assert!(after < before + 50, "{before} connections have become {after}");
    // Other datagrams of the node are tracked.
    from_each_port(&network.node, NODE.0, NEIGHBOUR.0, VXLAN + 2);
    assert!(tracked(&network.node) >= before + u64::from(FLOOD / 4));
}

/// The Service proxy for a Service with `externalTrafficPolicy: Local` and for clients in the pods' networks: it keeps the source.
fn redirect_to_remote_pod(node: &Namespace) {
    node.command(
        "nft",
        &["-f", "-"],
        &format!(
            "table inet proxy {{
                chain prerouting {{
                    type nat hook prerouting priority dstnat;
                    meta nfproto ipv4 fib daddr type local udp dport {NODE_PORT} dnat ip to {}:{}
                    meta nfproto ipv6 fib daddr type local udp dport {NODE_PORT} dnat ip6 to [{}]:{}
                }}
            }}",
            REMOTE_POD.0,
            crate::namespace::PORT,
            REMOTE_POD.1,
            crate::namespace::PORT,
        ),
    );
}

/// Sends to a port of the node; gives who the remote pod sees. The answer comes from where the client sent to.
fn asked_and_answered(client: &UdpSocket, server: &UdpSocket, node: &str) -> std::net::IpAddr {
    client.send_to(b"question", at_port(node, NODE_PORT)).unwrap();
    let mut buffer = [0; 16];
    let (_, seen) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"answer", seen).unwrap();
    let (length, answered) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], answered), (&b"answer"[..], at_port(node, NODE_PORT)));
    seen.ip()
}

#[test]
fn a_service_on_the_node_redirects_pods_of_other_nodes_to_pods_of_other_nodes() {
    let network = Network::guarded();
    redirect_to_remote_pod(&network.node);
    for own in [NODE, MESH] {
        for (((near, remote), own), mesh) in in_both(NEAR_POD, REMOTE_POD).into_iter().zip(own.both()).zip(MESH.both())
        {
            let server = network.remote.socket(remote);
            let client = network.near.socket_at(near, 40_000);
            assert_eq!(asked_and_answered(&client, &server, own), address(mesh), "{near} to {own}");
        }
    }
    for ((pod, remote), node) in in_both(POD, REMOTE_POD).into_iter().zip(NODE.both()) {
        let seen = asked_and_answered(&network.pod.socket_at(pod, 40_000), &network.remote.socket(remote), node);
        assert_eq!(seen, address(pod), "a pod of the node keeps its address");
    }
}

/// As for `externalTrafficPolicy: Cluster`.
#[test]
fn a_service_on_the_node_that_masquerades_works_for_everyone() {
    let network = Network::guarded();
    redirect_to_remote_pod(&network.node);
    network.node.command(
        "nft",
        &["-f", "-"],
        "table inet proxy { chain postrouting { type nat hook postrouting priority srcnat; ct status dnat masquerade; }; }",
    );
    for ((remote, node), mesh) in REMOTE_POD.both().into_iter().zip(NODE.both()).zip(MESH.both()) {
        let server = network.remote.socket(remote);
        let clients = [(&network.near, NEAR_POD), (&network.outside, INTERNET), (&network.pod, POD)];
        for (namespace, client) in clients {
            let client = client.both().into_iter().find(|client| address(client).is_ipv4() == address(node).is_ipv4());
            let socket = namespace.socket_at(client.unwrap(), 40_000);
            assert_eq!(asked_and_answered(&socket, &server, node), address(mesh), "{client:?}");
        }
    }
}

#[test]
fn a_network_that_is_in_transit_no_more_is_tracked() {
    let mut network = Network::guarded();
    let mut alone = plan();
    alone.transit.clear();
    assert_eq!(network.apply(&alone).table, TableChange::Elements);
    flood(&network.near.socket(NEAR_POD.0), REMOTE_POD.0);
    assert!(tracked(&network.node) >= u64::from(FLOOD));
}

/// A chain that accepts new connections and answers does not accept what is not tracked.
#[test]
fn a_chain_that_accepts_tracked_packets_alone_gets_accept_rules() {
    let mut network = Network::guarded();
    network.node.command(
        "nft",
        &["-f", "-"],
        "table inet a {
            chain f {
                type filter hook forward priority 0; policy accept;
                ct state invalid drop
                ct state established,related accept
                ct state new accept
                drop
            }
        }",
    );
    let (near, remote) = (network.near.socket(NEAR_POD.0), network.remote.socket(REMOTE_POD.0));
    near.send_to(b"x", remote.local_addr().unwrap()).unwrap();
    assert!(is_silent(&remote), "the chain does not drop");
    let Applied { foreign, .. } = network.apply(&plan());
    assert_eq!(foreign.keys().collect::<Vec<_>>(), ["inet a f"]);
    assert_eq!(socket_seen(&near, &remote), near.local_addr().unwrap());
    assert_eq!(socket_seen(&remote, &near), remote.local_addr().unwrap());

    // Without packets between other nodes, such a chain drops nothing of the mesh.
    let mut alone = plan();
    alone.transit.clear();
    let Applied { foreign, .. } = network.apply(&alone);
    assert_eq!(foreign.values().map(|count| count.deleted).collect::<Vec<_>>(), [8]);
    assert_eq!(network.apply(&alone).foreign, BTreeMap::new());
}

#[test]
fn a_message_about_an_untracked_packet_is_forwarded() {
    let network = Network::guarded();
    network.node.command(
        "nft",
        &["-f", "-"],
        "table inet a { chain f { type filter hook forward priority 0; policy accept; ct state invalid drop; }; }",
    );
    for (near, remote) in in_both(NEAR_POD, REMOTE_POD) {
        // Nothing listens at the port: the remote pod's host answers with an ICMP error.
        let client = network.near.socket(near);
        client.connect(at_port(remote, 9)).unwrap();
        client.send(b"x").unwrap();
        let error = client.recv(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{near}");
    }
}
