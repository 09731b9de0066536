//! Who may send to the ports of the mesh on nodes.

use std::net::UdpSocket;

use carrick_topology::plan::FirewallPlan;

use crate::namespace::{at_port, is_silent};
use crate::network::{
    INTERNET, MESH, NEIGHBOUR, NODE, Network, POD, REMOTE_HOST, REMOTE_POD, attach, in_both, nets, plan,
};
use crate::wiring::{Pair, give};

const PORTS: [u16; 4] = [51820, 51821, 51822, 51823];
const VXLAN_PORT: u16 = 51822;
/// An address in the location's network of which the plan knows nothing.
const UNKNOWN: Pair = Pair("192.0.2.77", "2001:db8::77");
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
    network_with(&plan())
}

fn network_with(plan: &FirewallPlan) -> Network {
    let network = Network::with(plan);
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
fn a_pod_sends_no_vxlan_to_a_node_that_is_not_known_yet() {
    let network = network();
    give(&network.outside, "node", &[UNKNOWN]);
    for (pod, unknown) in in_both(POD, UNKNOWN) {
        let sender = network.pod.socket(pod);
        let receiver = network.outside.socket_at(unknown, VXLAN_PORT);
        assert!(!arrives(&sender, &receiver, unknown, VXLAN_PORT), "{pod} to {unknown}");
        let receiver = network.outside.socket_at(unknown, 51824);
        assert!(arrives(&sender, &receiver, unknown, 51824), "another port of {unknown}");
    }
    assert_eq!(network.counted("forwarded VXLAN"), 2);
}

#[test]
fn a_pod_of_another_plugin_is_known_by_its_source() {
    let mut plan = plan();
    plan.pod_device_prefix = None;
    let network = network_with(&plan);
    for (pod, neighbour) in in_both(POD, NEIGHBOUR) {
        let sender = network.pod.socket(pod);
        for port in PORTS {
            let receiver = network.outside.socket_at(neighbour, port);
            assert!(!arrives(&sender, &receiver, neighbour, port), "{pod} to {neighbour} port {port}");
        }
    }
}

#[test]
fn a_pod_with_a_forged_source_is_known_by_its_device() {
    /// An address of no node and no pod.
    const FORGED: Pair = Pair("10.99.0.9", "fd99::9");
    let network = network();
    give(&network.pod, "eth0", &[FORGED]);
    for (forged, neighbour) in in_both(FORGED, NEIGHBOUR) {
        let sender = network.pod.socket(forged);
        for port in PORTS {
            let receiver = network.outside.socket_at(neighbour, port);
            assert!(!arrives(&sender, &receiver, neighbour, port), "{forged} to {neighbour} port {port}");
        }
        let receiver = network.outside.socket_at(neighbour, 51824);
        assert!(arrives(&sender, &receiver, neighbour, 51824), "another port of a node");
    }
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
fn an_answer_of_a_pod_reaches_no_port_of_the_mesh_on_a_node() {
    let network = network();
    for (pod, clients) in
        in_both(POD, NEIGHBOUR).into_iter().zip(INTERNET.both()).map(|((pod, node), other)| (pod, [node, other]))
    {
        for (client_address, is_node) in clients.into_iter().zip([true, false]) {
            for port in PORTS {
                let client = network.outside.socket_at(client_address, port);
                let server = network.pod.socket(pod);
                client.send_to(b"question", server.local_addr().unwrap()).unwrap();
                let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
                server.send_to(b"answer", from).unwrap();
                // What leaves for the VXLAN port by a device of the location could be meant for a node that is not known yet.
                assert_eq!(is_silent(&client), is_node || port == VXLAN_PORT, "{pod} answers {from}");
            }
        }
    }
}

/// A table of another program with one rule that translates addresses.
fn translate(network: &Network, family: &str, hook: &str, rule: &str) {
    network.node.nft(&format!(
        "add table {family} other; delete table {family} other; add table {family} other; \
         add chain {family} other nat {{ type nat hook {hook}; }}; add rule {family} other nat {rule}"
    ));
}

/// Otherwise two pods could keep a connection whose answers go to the VXLAN port of the first one's node.
#[test]
fn no_source_is_translated_to_a_port_of_the_mesh() {
    const SERVER: u16 = 7009;
    let network = network();
    let translate_to = |port: u16| {
        for (family, Pair(ipv4, ipv6)) in [("ip", NODE), ("ip6", NODE)] {
            let address = if family == "ip" { ipv4.to_owned() } else { format!("[{ipv6}]") };
            translate(
                &network,
                family,
                "postrouting priority 90",
                &format!("udp dport {SERVER} snat to {address}:{port}"),
            );
        }
    };
    for (pod, internet) in in_both(POD, INTERNET) {
        for port in PORTS.into_iter().chain([51824]) {
            translate_to(port);
            let receiver = network.outside.socket_at(internet, SERVER);
            assert_eq!(
                arrives(&network.pod.socket(pod), &receiver, internet, SERVER),
                port == 51824,
                "from port {port}"
            );
        }
    }
    assert_eq!(network.counted("mesh port as a translated source"), 2 * 4);
}

#[test]
fn no_packet_is_translated_to_a_port_of_the_mesh_but_to_that_of_wireguard() {
    const SERVICE: u16 = 30080;
    let client_address = Pair("198.51.100.9", "2001:db8:51::9");
    let mut network = network();
    let client = attach(&network.node, "eth9", client_address);
    let mut plan = plan();
    plan.vxlan_devices = Some(["eth0".parse().unwrap(), "eth9".parse().unwrap()].into());
    network.apply(&plan);
    for (address, neighbour) in in_both(client_address, NEIGHBOUR) {
        let node = in_family(NODE, address);
        for (port, passes) in [(51820, true), (51821, false), (51822, false), (51823, false), (51824, true)] {
            let (family, to) = match neighbour.contains(':') {
                true => ("ip6", format!("[{neighbour}]")),
                false => ("ip", neighbour.to_owned()),
            };
            translate(&network, family, "prerouting priority -90", &format!("udp dport {SERVICE} dnat to {to}:{port}"));
            let receiver = network.outside.socket_at(neighbour, port);
            assert_eq!(
                arrives(&client.socket_at(address, port), &receiver, node, SERVICE),
                passes,
                "{address} to port {port}"
            );
        }
    }
    assert_eq!(network.counted("translated to a mesh port"), 2 * 3);
}

#[test]
fn vxlan_is_taken_at_internal_addresses_only() {
    let network = network();
    // A second address of the host, such as a virtual address that moves between nodes, and one that neighbours reach without encapsulation.
    give(&network.node, "eth0", &[UNKNOWN]);
    for (other, neighbour) in in_both(UNKNOWN, NEIGHBOUR) {
        let sender = network.outside.socket(neighbour);
        for address in [other, in_family(MESH, other)] {
            let receiver = network.node.socket_at(address, VXLAN_PORT);
            assert!(!arrives(&sender, &receiver, address, VXLAN_PORT), "{address}");
            let receiver = network.node.socket_at(address, 51824);
            assert!(arrives(&sender, &receiver, address, 51824), "another port of {address}");
        }
        let receiver = network.node.socket_at(in_family(NODE, other), VXLAN_PORT);
        assert!(arrives(&sender, &receiver, in_family(NODE, other), VXLAN_PORT));
    }
    assert_eq!(network.counted("VXLAN to no internal address"), 2 * 2);
}

fn in_family(pair: Pair, like: &str) -> &'static str {
    let [ipv4, ipv6] = pair.both();
    if like.contains(':') { ipv6 } else { ipv4 }
}
