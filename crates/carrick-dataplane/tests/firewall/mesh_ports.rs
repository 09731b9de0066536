//! Who may send to the ports of the mesh on nodes.

use std::net::UdpSocket;

use crate::namespace::{at_port, is_silent};
use crate::network::{MESH, NEIGHBOUR, NODE, Network, POD, REMOTE_HOST, REMOTE_POD, in_both, nets, plan};
use crate::wiring::{Pair, give};

const PORTS: [u16; 4] = [51820, 51821, 51822, 51823];
/// A mesh address of a node behind the tunnel.
const REMOTE_MESH: Pair = Pair("10.4.0.2", "fdca::2");
/// A mesh address of a node behind the VXLAN device.
const NEAR_MESH: Pair = Pair("10.4.0.3", "fdca::3");

/// Whether one packet to a port of an address arrives at a socket that is bound there.
fn arrives(sender: &UdpSocket, receiver: &UdpSocket, address: &str, port: u16) -> bool {
    sender.send_to(b"x", at_port(address, port)).unwrap();
    !is_silent(receiver)
}

fn network() -> Network {
    let network = Network::guarded();
    give(&network.remote, "node", &[REMOTE_MESH]);
    network.node.ip("route add 10.4.0.2 dev carrick0\nroute add fdca::2 dev carrick0");
    network
}

#[test]
fn a_pod_reaches_no_port_of_the_mesh_on_any_node() {
    let network = network();
    for pod in POD.both() {
        let [neighbour, remote, mesh] = [NEIGHBOUR, REMOTE_HOST, REMOTE_MESH].map(|pair| in_family(pair, pod));
        let sender = network.pod.socket(pod);
        for port in PORTS {
            for (namespace, address) in
                [(&network.outside, neighbour), (&network.remote, remote), (&network.remote, mesh)]
            {
                let receiver = namespace.socket_at(address, port);
                assert!(!arrives(&sender, &receiver, address, port), "{pod} to {address} port {port}");
            }
        }
        let receiver = network.outside.socket_at(neighbour, 51824);
        assert!(arrives(&sender, &receiver, neighbour, 51824), "another port of a node");
        let pods = network.remote.socket_at(in_family(REMOTE_POD, pod), 51820);
        assert!(arrives(&sender, &pods, in_family(REMOTE_POD, pod), 51820), "the same port of a pod");
    }
    assert_eq!(network.counted("mesh port from a pod"), 2 * 4 * 3);
}

#[test]
fn a_pod_or_peer_beyond_the_tunnel_reaches_no_port_of_the_mesh() {
    let network = network();
    for (far, neighbour) in in_both(REMOTE_POD, NEIGHBOUR) {
        let (node, mesh) = (in_family(NODE, far), in_family(MESH, far));
        let sender = network.remote.socket(far);
        for port in PORTS {
            let receiver = network.outside.socket_at(neighbour, port);
            assert!(!arrives(&sender, &receiver, neighbour, port), "forwarded to {neighbour} port {port}");
            for own in [node, mesh] {
                let receiver = network.node.socket_at(own, port);
                assert!(!arrives(&sender, &receiver, own, port), "to this node at {own} port {port}");
            }
        }
    }
    assert_eq!(network.counted("mesh port from outside the nodes"), 2 * 4 * 3);
}

#[test]
fn nodes_still_reach_each_other_and_a_relay_forwards_for_them() {
    let mut network = network();
    give(&network.near, "node", &[NEAR_MESH]);
    network.node.ip("route add 10.4.0.3 dev carrick-vx\nroute add fdca::3 dev carrick-vx");
    let mut plan = plan();
    plan.carried_by.get_mut("carrick-vx").unwrap().extend(nets(&["10.4.0.3/32", "fdca::3/128"]));
    network.apply(&plan);
    for (far, own) in in_both(REMOTE_MESH, MESH) {
        let sender = network.remote.socket(far);
        for port in PORTS {
            let near = in_family(NEAR_MESH, far);
            let receiver = network.near.socket_at(near, port);
            assert!(arrives(&sender, &receiver, near, port), "forwarded from {far} to {near} port {port}");
        }
        let receiver = network.node.socket_at(own, 51821);
        assert!(arrives(&sender, &receiver, own, 51821), "a probe of {far}");
    }
}

#[test]
fn a_pod_answers_a_client_whose_source_port_is_one_of_the_mesh() {
    let network = network();
    for (pod, neighbour) in in_both(POD, NEIGHBOUR) {
        for port in PORTS {
            let client = network.outside.socket_at(neighbour, port);
            let server = network.pod.socket(pod);
            client.send_to(b"question", server.local_addr().unwrap()).unwrap();
            let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
            server.send_to(b"answer", from).unwrap();
            assert!(!is_silent(&client), "{pod} answers {from}");
        }
    }
}

#[test]
fn vxlan_is_taken_at_internal_addresses_only() {
    let network = network();
    // A second address of the host, such as a virtual address that moves between nodes.
    give(&network.node, "eth0", &[Pair("192.0.2.77", "2001:db8::77")]);
    for (other, neighbour) in in_both(Pair("192.0.2.77", "2001:db8::77"), NEIGHBOUR) {
        let sender = network.outside.socket(neighbour);
        let receiver = network.node.socket_at(other, 51822);
        assert!(!arrives(&sender, &receiver, other, 51822), "{other}");
        let receiver = network.node.socket_at(in_family(NODE, other), 51822);
        assert!(arrives(&sender, &receiver, in_family(NODE, other), 51822));
    }
}

fn in_family(pair: Pair, like: &str) -> &'static str {
    let [ipv4, ipv6] = pair.both();
    if like.contains(':') { ipv6 } else { ipv4 }
}
