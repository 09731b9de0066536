//! VXLAN stays in the network of the location.

use carrick_topology::plan::FirewallPlan;

use crate::namespace::{at, at_port, is_silent};
use crate::network::{NEIGHBOUR, NODE, Network, REMOTE_HOST, attach, in_both, nets, plan};
use crate::wiring::{Pair, give};

/// A host that the node reaches by a device without an internal address.
const ELSEWHERE: Pair = Pair("198.51.100.9", "2001:db8:5::9");
const PORT: u16 = 51822;
/// The port of VXLAN through tunnels during a handover.
const HANDOVER: u16 = 51823;
/// The mesh address of the neighbour, which packets reach without encapsulation.
const NEIGHBOUR_MESH: Pair = Pair("10.4.0.3", "fdca::3");
/// The mesh address of a node behind the tunnel.
const REMOTE_MESH: Pair = Pair("10.4.0.2", "fdca::2");

/// A VXLAN header (RFC 7348 §5) with the identifier of the mesh, and a payload.
const VXLAN: [u8; 12] = [8, 0, 0, 0, 0, 0x04, 0x53, 0, b's', b'e', b'c', b'r'];

#[test]
fn vxlan_leaves_by_the_devices_of_internal_addresses_only() {
    let mut network = Network::guarded();
    let elsewhere = attach(&network.node, "eth1", ELSEWHERE);
    for (address, node) in in_both(ELSEWHERE, NODE) {
        let receiver = elsewhere.socket_at(address, PORT);
        let sender = network.node.socket(node);
        let refused = sender.send_to(&VXLAN, at_port(address, PORT)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
        assert!(is_silent(&receiver), "VXLAN to {address}");
        sender.send_to(b"an answer", at_port(address, PORT)).unwrap();
        assert!(!is_silent(&receiver), "another packet to the same port of {address}");
    }
    for (neighbour, node) in in_both(NEIGHBOUR, NODE) {
        let receiver = network.outside.socket_at(neighbour, PORT);
        network.node.socket(node).send_to(&VXLAN, at_port(neighbour, PORT)).unwrap();
        assert!(!is_silent(&receiver), "VXLAN to {neighbour}");
    }
    assert_eq!(network.counted("VXLAN out by another device"), 2);

    let mut unknown = plan();
    unknown.vxlan_devices = None;
    network.apply(&unknown);
    for (address, node) in in_both(ELSEWHERE, NODE) {
        let receiver = elsewhere.socket_at(address, PORT);
        network.node.socket(node).send_to(&VXLAN, at_port(address, PORT)).unwrap();
        assert!(!is_silent(&receiver), "VXLAN to {address} where no device is known");
    }
}

#[test]
fn vxlan_comes_in_by_the_devices_of_internal_addresses_only() {
    let network = Network::guarded();
    // The sender has the internal address of a node of the location, on the wrong side.
    let elsewhere = attach(&network.node, "eth1", ELSEWHERE);
    give(&elsewhere, "eth0", &[NEIGHBOUR]);
    for (neighbour, node) in in_both(NEIGHBOUR, NODE) {
        let receiver = network.node.socket_at(node, PORT);
        elsewhere.socket(neighbour).send_to(&VXLAN, at_port(node, PORT)).unwrap();
        assert!(is_silent(&receiver), "VXLAN from {neighbour} by eth1");
        network.outside.socket(neighbour).send_to(&VXLAN, at_port(node, PORT)).unwrap();
        assert!(!is_silent(&receiver), "VXLAN from {neighbour} by eth0");
    }
    assert_eq!(network.counted("VXLAN by another device"), 2);
}

#[test]
fn vxlan_is_not_forwarded_into_the_location() {
    let network = Network::guarded();
    let elsewhere = attach(&network.node, "eth1", ELSEWHERE);
    for (neighbour, address) in in_both(NEIGHBOUR, ELSEWHERE) {
        let receiver = network.outside.socket_at(neighbour, PORT);
        let sender = elsewhere.socket(address);
        sender.send_to(&VXLAN, at_port(neighbour, PORT)).unwrap();
        assert!(is_silent(&receiver), "VXLAN to {neighbour}");
        let receiver = network.outside.socket(neighbour);
        sender.send_to(b"x", at(neighbour)).unwrap();
        assert!(!is_silent(&receiver), "another packet to {neighbour}");
    }
    assert_eq!(network.counted("forwarded VXLAN"), 2);
}

/// A node that reaches the mesh addresses of other nodes by the location's network and by a tunnel.
fn with_mesh_addresses(plan: &FirewallPlan) -> Network {
    let mut plan = plan.clone();
    for (device, hosts) in [("eth0", ["10.4.0.3/32", "fdca::3/128"]), ("carrick0", ["10.4.0.2/32", "fdca::2/128"])] {
        plan.carried_by.entry(device.parse().unwrap()).or_default().extend(nets(&hosts));
    }
    let network = Network::with(&plan);
    give(&network.outside, "node", &[NEIGHBOUR_MESH]);
    give(&network.remote, "node", &[REMOTE_MESH]);
    network.node.ip("route add 10.4.0.3 dev eth0\nroute add fdca::3 dev eth0\n\
         route add 10.4.0.2 dev carrick0\nroute add fdca::2 dev carrick0");
    network
}

/// With internal devices that are known, and on a host whose internal address is on the loopback device.
#[test]
fn vxlan_of_hosts_behind_another_device_is_not_forwarded_to_nodes() {
    let loopback = FirewallPlan { vxlan_devices: None, ..plan() };
    for plan in [plan(), loopback] {
        let network = with_mesh_addresses(&plan);
        let container = attach(&network.node, "docker0", ELSEWHERE);
        network.node.nft(
            "add table inet other; add chain inet other nat { type nat hook postrouting priority srcnat; }; \
             add rule inet other nat iifname docker0 masquerade",
        );
        for (index, own) in ELSEWHERE.both().into_iter().enumerate() {
            let in_family = |pair: Pair| pair.both()[index];
            let sender = container.socket(own);
            for (namespace, node) in [
                (&network.outside, in_family(NEIGHBOUR)),
                (&network.outside, in_family(NEIGHBOUR_MESH)),
                (&network.remote, in_family(REMOTE_HOST)),
                (&network.remote, in_family(REMOTE_MESH)),
            ] {
                for (port, is_forwarded) in [(PORT, false), (HANDOVER, false), (51824, true)] {
                    let receiver = namespace.socket_at(node, port);
                    sender.send_to(&VXLAN, at_port(node, port)).unwrap();
                    assert_eq!(!is_silent(&receiver), is_forwarded, "{own} to {node} port {port}");
                }
            }
        }
        assert_eq!(network.counted("forwarded VXLAN"), 2 * 4 * 2);
    }
}

/// A program with a raw socket has any source: that of another node is believed only where it can come from.
#[test]
fn vxlan_with_the_source_of_a_node_is_forwarded_only_from_the_location() {
    let network = with_mesh_addresses(&plan());
    let container = attach(&network.node, "eth1", ELSEWHERE);
    give(&container, "lo", &[REMOTE_HOST]);
    for (forged, neighbour) in in_both(REMOTE_HOST, NEIGHBOUR_MESH) {
        let receiver = network.outside.socket_at(neighbour, PORT);
        container.socket(forged).send_to(&VXLAN, at_port(neighbour, PORT)).unwrap();
        assert!(is_silent(&receiver), "{forged} to {neighbour}");
    }
    assert_eq!(network.counted("forwarded VXLAN"), 2);
}

/// The node routes between two networks of the location.
#[test]
fn a_node_that_routes_inside_the_location_forwards_vxlan_of_nodes() {
    const FAR: Pair = Pair("192.0.66.7", "2001:db8:66::7");
    let mut plan = plan();
    plan.vxlan_devices = Some(["eth0".parse().unwrap(), "eth1".parse().unwrap()].into());
    plan.mesh_ports.addresses.extend(nets(&["192.0.66.7/32", "2001:db8:66::7/128"]));
    let loopback = FirewallPlan { vxlan_devices: None, ..plan.clone() };
    for plan in [plan, loopback] {
        let network = Network::with(&plan);
        let far = attach(&network.node, "eth1", FAR);
        give(&far, "lo", &[ELSEWHERE]);
        for ((neighbour, node), stranger) in in_both(NEIGHBOUR, FAR).into_iter().zip(ELSEWHERE.both()) {
            let receiver = network.outside.socket_at(neighbour, PORT);
            far.socket(node).send_to(&VXLAN, at_port(neighbour, PORT)).unwrap();
            assert!(!is_silent(&receiver), "VXLAN of the node {node} to {neighbour}");
            far.socket(stranger).send_to(&VXLAN, at_port(neighbour, PORT)).unwrap();
            assert!(is_silent(&receiver), "VXLAN of {stranger} to {neighbour}");
        }
        assert_eq!(network.counted("forwarded VXLAN"), 2);
    }
}
