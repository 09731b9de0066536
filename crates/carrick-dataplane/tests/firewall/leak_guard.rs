//! Nothing that the mesh carries leaves in clear.

use std::net::UdpSocket;

use nix::sys::socket::{setsockopt, sockopt};

use crate::namespace::{Namespace, at, is_silent, source_seen};
use crate::network::{INTERNET, NODE, Network, POD, Pair, REMOTE_POD, address, attach, give, in_both, nets, plan};

const CLEAR: &str = "mesh destination in clear";
const STRAY: &str = "own pods by another device";

/// Sockets with the destination's address on a wrong device. Only the test's own packets may arrive there.
fn eavesdropper(namespace: &Namespace, pair: Pair) -> [UdpSocket; 2] {
    give(namespace, "lo", &[pair]);
    pair.both().map(|address| namespace.socket(address))
}

/// Sends from inside `from` to both addresses; the sends may be refused.
fn send(sender: &Namespace, from: Pair, to: Pair) {
    for (from, to) in in_both(from, to) {
        let _ = sender.socket(from).send_to(b"secret", at(to));
    }
}

#[test]
fn packets_for_the_mesh_do_not_leave_by_the_uplink() {
    let network = Network::guarded();
    let ears = eavesdropper(&network.outside, REMOTE_POD);
    for (pod, ear) in POD.both().into_iter().zip(&ears) {
        network.pod.socket(pod).send_to(b"x", ear.local_addr().unwrap()).unwrap();
    }
    assert_eq!(network.counted(CLEAR), 0, "while the tunnel is there, nothing is dropped");

    network.node.ip("link delete carrick0");
    send(&network.pod, POD, REMOTE_POD);
    assert_eq!(network.counted(CLEAR), 2);
    send(&network.node, NODE, REMOTE_POD);
    assert_eq!(network.counted(CLEAR), 4);
    assert!(ears.iter().all(is_silent));

    let internet = network.outside.socket(INTERNET.0);
    assert_eq!(source_seen(&network.pod.socket(POD.0), &internet), address(NODE.0), "everything else still leaves");
}

#[test]
fn a_device_carries_only_what_the_plan_names_for_it() {
    let network = Network::guarded();
    let ears = eavesdropper(&network.near, REMOTE_POD);
    network.node.ip("route replace 10.2.0.0/24 dev carrick-vx\nroute replace fd02::/64 dev carrick-vx");
    send(&network.pod, POD, REMOTE_POD);
    assert_eq!(network.counted(CLEAR), 2);
    assert!(ears.iter().all(is_silent));
}

#[test]
fn wireguards_own_packets_pass() {
    let network = Network::guarded();
    let ears = eavesdropper(&network.outside, REMOTE_POD);
    network.node.ip("link delete carrick0");
    for (node, ear) in NODE.both().into_iter().zip(&ears) {
        let sender = network.node.socket(node);
        setsockopt(&sender, sockopt::Mark, &0x1000).unwrap();
        assert_eq!(source_seen(&sender, ear), address(node));
        setsockopt(&sender, sockopt::Mark, &0x2000).unwrap();
        sender.send_to(b"x", ear.local_addr().unwrap()).unwrap_err();
        assert!(is_silent(ear), "another mark does not pass the leak guard");
    }
}

#[test]
fn a_network_of_the_host_takes_no_packet_of_pods_to_other_pods() {
    let mut inside = plan();
    inside.direct = nets(&["10.2.0.4/31", "fd02::4/127"]).into_iter().collect();
    // A pod CIDR that a network of the host contains is not carried.
    let mut around = plan();
    let pods = nets(&["10.2.0.0/24", "fd02::/64"]);
    around.carried.retain(|net| !pods.contains(net));
    around.carried_by.values_mut().for_each(|nets| nets.retain(|net| !pods.contains(net)));
    for plan in [inside, around] {
        let network = Network::with(&plan);
        network.node.ip("link delete carrick0");
        let ears = eavesdropper(&network.outside, REMOTE_POD);
        send(&network.pod, POD, REMOTE_POD);
        assert_eq!(network.counted(CLEAR), 2, "{:?}", plan.direct);
        assert!(ears.iter().all(is_silent), "{:?}", plan.direct);
        for (ear, node) in ears.iter().zip(NODE.both()) {
            assert_eq!(source_seen(&network.node.socket(node), ear), address(node), "the host's own network works");
        }
    }
}

#[test]
fn exceptions_leave_beside_the_mesh() {
    let mut plan = plan();
    plan.encapsulated_sources = [].into();
    plan.direct = nets(&["10.2.0.4/31", "fd02::4/127"]).into_iter().collect();
    let network = Network::with(&plan);
    network.node.ip("link delete carrick0");
    let ears = eavesdropper(&network.outside, REMOTE_POD);
    for ((pod, ear), node) in POD.both().into_iter().zip(&ears).zip(NODE.both()) {
        assert_eq!(source_seen(&network.pod.socket(pod), ear), address(node));
    }
}

#[test]
fn the_hosts_packets_to_itself_pass() {
    let network = Network::guarded();
    for mesh in ["10.4.0.1", "fdca::1"] {
        let receiver = network.node.socket(mesh);
        assert_eq!(source_seen(&network.node.socket_at(mesh, 7001), &receiver), address(mesh));
    }
}

#[test]
fn packets_for_own_pods_leave_by_pod_devices_only() {
    let network = Network::guarded();
    let ears = eavesdropper(&network.outside, POD);
    network.node.ip("link delete crk1");
    send(&network.remote, REMOTE_POD, POD);
    assert_eq!(network.counted(STRAY), 2);
    assert!(ears.iter().all(is_silent));
}

#[test]
fn where_another_plugin_wires_pods_their_devices_have_any_name() {
    let mut plan = plan();
    plan.pod_device_prefix = None;
    let network = Network::with(&plan);
    let addresses = Pair("10.1.0.6", "fd01::6");
    let pod = attach(&network.node, "cali1", addresses);
    for (remote, address_of_pod) in in_both(REMOTE_POD, addresses) {
        assert_eq!(source_seen(&network.remote.socket(remote), &pod.socket(address_of_pod)), address(remote));
    }
}
