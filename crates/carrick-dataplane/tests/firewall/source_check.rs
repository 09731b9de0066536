//! Packets in the name of other nodes' pods come in by devices of the mesh.

use crate::namespace::{at_port, is_silent, source_seen};
use crate::network::{MESH, NEAR_POD, NODE, Network, POD, Pair, REMOTE_POD, address, give, in_both, nets, plan};

const PORT: u16 = 7001;

#[test]
fn a_host_outside_of_the_mesh_cannot_send_in_the_name_of_a_pod() {
    let mut network = Network::guarded();
    give(&network.outside, "lo", &[REMOTE_POD]);
    for (pod, remote) in in_both(POD, REMOTE_POD) {
        let receiver = network.pod.socket_at(pod, PORT);
        network.outside.socket(remote).send_to(b"x", at_port(pod, PORT)).unwrap();
        assert!(is_silent(&receiver), "{remote}");
        let elsewhere = network.pod.socket(pod);
        assert_eq!(source_seen(&network.remote.socket(remote), &elsewhere), address(remote), "by the mesh's device");
    }
    for (pod, near) in in_both(POD, NEAR_POD) {
        let receiver = network.pod.socket(pod);
        assert_eq!(source_seen(&network.near.socket(near), &receiver), address(near), "by the mesh's device");
    }
    assert_eq!(network.counted("mesh source by another device"), 2);

    // A network of the host, which has its addresses, and sources that may come without encapsulation.
    let mut direct = plan();
    direct.direct.extend(nets(&["10.2.0.0/24", "fd02::/64"]));
    let mut plain = plan();
    plain.encapsulated_sources.clear();
    for permitting in [direct, plain] {
        network.apply(&permitting);
        for (pod, remote) in in_both(POD, REMOTE_POD) {
            let receiver = network.pod.socket(pod);
            assert_eq!(source_seen(&network.outside.socket(remote), &receiver), address(remote));
        }
    }
}

#[test]
fn no_device_brings_packets_in_the_name_of_this_node() {
    let network = Network::guarded();
    for own in [MESH, NODE] {
        for namespace in [&network.outside, &network.remote] {
            give(namespace, "lo", &[own]);
            for (pod, forged) in in_both(POD, own) {
                let receiver = network.pod.socket_at(pod, PORT);
                namespace.socket(forged).send_to(b"x", at_port(pod, PORT)).unwrap();
                assert!(is_silent(&receiver), "{forged}");
            }
        }
        for (pod, address_of_node) in in_both(POD, own) {
            let receiver = network.pod.socket(pod);
            assert_eq!(source_seen(&network.node.socket(address_of_node), &receiver), address(address_of_node));
        }
    }
    assert!(network.counted("the node's own source by another device") >= 4);
}

#[test]
fn no_device_but_a_pods_brings_packets_in_the_name_of_this_nodes_pods() {
    /// A pod of the node that has just ended, or has not begun.
    const OTHER_POD: Pair = Pair("10.1.0.99", "fd01::99");
    let mut network = Network::guarded();
    let namespaces = [&network.outside, &network.near, &network.remote];
    for namespace in namespaces {
        give(namespace, "lo", &[OTHER_POD]);
    }
    for (pod, forged) in in_both(POD, OTHER_POD) {
        let receiver = network.pod.socket_at(pod, PORT);
        for namespace in namespaces {
            namespace.socket(forged).send_to(b"x", at_port(pod, PORT)).unwrap();
            assert!(is_silent(&receiver), "{forged}");
        }
    }
    assert_eq!(network.counted("own pods' source by another device"), 2 * 3);

    // Another plugin connects the pods, by devices with any name.
    let mut foreign = plan();
    foreign.pod_device_prefix = None;
    network.apply(&foreign);
    for (pod, forged) in in_both(POD, OTHER_POD) {
        let receiver = network.pod.socket(pod);
        assert_eq!(source_seen(&network.outside.socket(forged), &receiver), address(forged));
    }
}
