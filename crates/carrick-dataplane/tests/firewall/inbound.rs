//! Who may send VXLAN to this node.

use crate::namespace::{at_port, is_silent, source_seen};
use crate::network::{INTERNET, NEIGHBOUR, NODE, Network, address, in_both, plan};

const VXLAN_PORT: u16 = 51822;

#[test]
fn vxlan_is_accepted_from_nodes_of_the_location_only() {
    let mut network = Network::guarded();
    for (node, neighbour) in in_both(NODE, NEIGHBOUR) {
        let receiver = network.node.socket_at(node, VXLAN_PORT);
        assert_eq!(source_seen(&network.outside.socket(neighbour), &receiver), address(neighbour));
    }
    for (node, stranger) in in_both(NODE, INTERNET) {
        let receiver = network.node.socket_at(node, VXLAN_PORT);
        network.outside.socket(stranger).send_to(b"x", at_port(node, VXLAN_PORT)).unwrap();
        assert!(is_silent(&receiver));
        let elsewhere = network.node.socket(node);
        assert_eq!(source_seen(&network.outside.socket(stranger), &elsewhere), address(stranger), "another port");
    }
    assert_eq!(network.counted("VXLAN from outside the location"), 2);

    let mut alone = plan();
    alone.vxlan_sources.clear();
    network.apply(&alone);
    let receiver = network.node.socket_at(NODE.0, VXLAN_PORT);
    network.outside.socket(NEIGHBOUR.0).send_to(b"x", at_port(NODE.0, VXLAN_PORT)).unwrap();
    assert!(is_silent(&receiver), "a node that is alone in its location accepts none");
}
