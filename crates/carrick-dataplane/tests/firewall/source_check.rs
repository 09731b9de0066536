//! Packets in the name of other nodes' pods come in by devices of the mesh.

use crate::namespace::{at_port, is_silent, source_seen};
use carrick_topology::plan::FirewallPlan;

use crate::network::{
    MESH, NEAR_POD, NEIGHBOUR, NODE, Network, POD, Pair, REMOTE_POD, address, attach, give, in_both, nets, plan,
};

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

/// A program with a raw socket has any source, also where packets of pods may come without encapsulation.
#[test]
fn no_device_of_containers_brings_packets_in_the_name_of_nodes_and_pods() {
    const CONTAINER: Pair = Pair("172.17.0.2", "fd17::2");
    /// A node in a virtual machine on this host, to which the host's route leads by the device.
    const INSIDE: Pair = Pair("172.31.5.9", "fd09:5::9");
    let mut plain = plan();
    plain.encapsulated_sources.clear();
    plain.carried.extend(nets(&["172.31.5.9/32", "fd09:5::9/128"]));
    let arrives = |plan: &FirewallPlan, device: &str, source: Pair| {
        let network = Network::with(plan);
        let container = attach(&network.node, device, CONTAINER);
        give(&container, "lo", &[NEIGHBOUR, NEAR_POD, INSIDE]);
        network.node.ip(&format!("route add 172.31.5.9 dev {device}\nroute add fd09:5::9 dev {device}"));
        let both = in_both(POD, source).into_iter().zip(REMOTE_POD.both()).map(|((pod, source), remote)| {
            let (inside, outside) = (network.pod.socket(pod), network.remote.socket(remote));
            let sender = container.socket(source);
            for to in [pod, remote] {
                sender.send_to(b"x", at_port(to, 7000)).unwrap();
            }
            let [pod_got, remote_got] = [&inside, &outside].map(|receiver| !is_silent(receiver));
            assert_eq!(pod_got, remote_got, "{source} by {device}");
            pod_got
        });
        let [ipv4, ipv6] = both.collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(ipv4, ipv6, "{source:?} by {device}", source = source.both());
        ipv4
    };
    for forged in [NEIGHBOUR, NEAR_POD] {
        assert!(!arrives(&plain, "docker0", forged), "{:?}", forged.both());
        assert!(arrives(&plain, "eth1", forged), "{:?} by a device that may be an uplink", forged.both());
    }
    assert!(arrives(&plain, "docker0", CONTAINER), "ordinary packets of the container");
    assert!(arrives(&plain, "virbr0", INSIDE), "packets of a node in a virtual machine");

    // A bridge whose ports are all of containers, whatever its name.
    let bridge = |name: &str| FirewallPlan { container_bridges: [name.parse().unwrap()].into(), ..plain.clone() };
    for name in ["nerdctl0", "vmbr1"] {
        assert!(!arrives(&bridge(name), name, NEIGHBOUR), "{name}");
        assert!(arrives(&bridge(name), name, CONTAINER) && arrives(&bridge(name), name, INSIDE), "{name}");
        assert!(arrives(&bridge(name), "eth1", NEIGHBOUR), "a device that may be an uplink");
    }
    assert!(arrives(&bridge("vmbr1"), "vmbr10", NEIGHBOUR), "a device of another name");
    let carries_internal = FirewallPlan {
        vxlan_devices: Some(["eth0".parse().unwrap(), "vmbr1".parse().unwrap()].into()),
        ..bridge("vmbr1")
    };
    assert!(arrives(&carries_internal, "vmbr1", NEIGHBOUR), "the internal address is on the bridge");

    let internal = FirewallPlan {
        vxlan_devices: Some(["eth0".parse().unwrap(), "docker0".parse().unwrap()].into()),
        ..plain.clone()
    };
    let unknown = FirewallPlan { vxlan_devices: None, ..plain.clone() };
    let foreign = FirewallPlan { container_devices: [].into(), ..plain };
    for permitting in [internal, unknown, foreign] {
        assert!(arrives(&permitting, "docker0", NEIGHBOUR));
    }

    // WireGuard checks its packets itself, wherever they come from.
    let network = Network::guarded();
    let container = attach(&network.node, "docker0", CONTAINER);
    give(&container, "lo", &[NEIGHBOUR]);
    for (neighbour, node) in in_both(NEIGHBOUR, NODE) {
        let receiver = network.node.socket_at(node, 51820);
        container.socket(neighbour).send_to(b"x", at_port(node, 51820)).unwrap();
        assert!(!is_silent(&receiver), "{neighbour} to {node}");
    }
}
