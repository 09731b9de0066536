//! VXLAN stays in the network of the location.

use crate::namespace::{at, at_port, is_silent};
use crate::network::{NEIGHBOUR, NODE, Network, attach, in_both, plan};
use crate::wiring::{Pair, give};

/// A host that the node reaches by a device without an internal address.
const ELSEWHERE: Pair = Pair("198.51.100.9", "2001:db8:5::9");
const PORT: u16 = 51822;

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
    assert_eq!(network.counted("VXLAN forwarded into the location"), 2);
}
