//! Which source address a packet has when it arrives.

use carrick_topology::model::AllowedLocationMasquerade;

use crate::namespace::source_seen;
use crate::network::{
    INTERNET, MESH, NEAR_POD, NEIGHBOUR, NODE, Network, POD, PRINTER, Pair, REMOTE_HOST, REMOTE_POD, address, attach,
    give, in_both, nets, plan,
};

#[test]
fn a_pod_reaches_the_internet_with_the_nodes_address() {
    let network = Network::guarded();
    for ((pod, internet), node) in in_both(POD, INTERNET).into_iter().zip(NODE.both()) {
        let seen = source_seen(&network.pod.socket(pod), &network.outside.socket(internet));
        assert_eq!(seen, address(node));
    }
}

/// The address that the default route names is another one of the device, and one of the loopback device, which stands for a host with several
/// uplinks.
#[test]
fn a_pod_reaches_the_internet_with_the_address_that_the_default_route_names() {
    let named = Pair("192.0.2.77", "2001:db8::77");
    for device in ["eth0", "lo"] {
        let mut plan = plan();
        plan.default_sources = [("eth0".parse().unwrap(), named.both().map(address).into())].into();
        plan.host_networks = nets(&["192.0.2.3/32", "2001:db8::3/128"]).into_iter().collect();
        let network = Network::with(&plan);
        give(&network.node, device, &[named]);
        for (((pod, internet), printer), named) in
            in_both(POD, INTERNET).into_iter().zip(PRINTER.both()).zip(named.both())
        {
            let pod = network.pod.socket(pod);
            assert_eq!(source_seen(&pod, &network.outside.socket(internet)), address(named), "{device}");
            let seen = source_seen(&pod, &network.outside.socket(printer));
            assert_eq!(seen, address(named), "a network of the location, {device}");
        }
        for ((pod, neighbour), node) in in_both(POD, NEIGHBOUR).into_iter().zip(NODE.both()) {
            let seen = source_seen(&network.pod.socket(pod), &network.outside.socket(neighbour));
            assert_eq!(seen, address(node), "a network that has a route of its own, {device}");
        }
    }
}

#[test]
fn a_default_route_that_names_a_source_in_one_family_changes_nothing_in_the_other() {
    let Pair(named, _) = Pair("192.0.2.77", "2001:db8::77");
    let mut plan = plan();
    plan.default_sources = [("eth0".parse().unwrap(), [address(named)].into())].into();
    let network = Network::with(&plan);
    network.node.ip(&format!("address add {named}/32 dev lo"));
    let seen = |pod, internet| source_seen(&network.pod.socket(pod), &network.outside.socket(internet));
    assert_eq!(seen(POD.0, INTERNET.0), address(named));
    assert_eq!(seen(POD.1, INTERNET.1), address(NODE.1));
}

#[test]
fn a_pod_keeps_its_address_inside_the_mesh() {
    let network = Network::guarded();
    for (pod, remote) in in_both(POD, REMOTE_POD) {
        let (pod_socket, remote_socket) = (network.pod.socket(pod), network.remote.socket(remote));
        assert_eq!(source_seen(&pod_socket, &remote_socket), address(pod));
        assert_eq!(source_seen(&remote_socket, &pod_socket), address(remote), "and so do those who send to it");
    }
    for (pod, near) in in_both(POD, NEAR_POD) {
        assert_eq!(source_seen(&network.pod.socket(pod), &network.near.socket(near)), address(pod));
    }
}

#[test]
fn a_pod_keeps_its_address_towards_a_pod_of_the_same_node() {
    let network = Network::guarded();
    let addresses = Pair("10.1.0.6", "fd01::6");
    let sibling = attach(&network.node, "crk2", addresses);
    for (pod, sibling_address) in in_both(POD, addresses) {
        assert_eq!(source_seen(&network.pod.socket(pod), &sibling.socket(sibling_address)), address(pod));
    }
}

#[test]
fn a_pod_leaves_with_the_nodes_address_for_an_exception_inside_the_mesh() {
    let mut plan = plan();
    plan.encapsulated_sources = [].into();
    plan.direct = nets(&["10.2.0.0/24", "fd02::/64"]).into_iter().collect();
    let network = Network::with(&plan);
    for ((pod, remote), mesh) in in_both(POD, REMOTE_POD).into_iter().zip(MESH.both()) {
        let seen = source_seen(&network.pod.socket(pod), &network.remote.socket(remote));
        assert_eq!(seen, address(mesh), "the address of the device it leaves by");
    }
}

#[test]
fn a_network_of_the_location_sees_the_node() {
    let network = Network::guarded();
    for ((pod, printer), node) in in_both(POD, PRINTER).into_iter().zip(NODE.both()) {
        let seen = source_seen(&network.pod.socket(pod), &network.outside.socket(printer));
        assert_eq!(seen, address(node), "a pod of this node");
    }
    for ((remote, printer), node) in in_both(REMOTE_POD, PRINTER).into_iter().zip(NODE.both()) {
        let seen = source_seen(&network.remote.socket(remote), &network.outside.socket(printer));
        assert_eq!(seen, address(node), "a pod of another location");
    }
}

#[test]
fn a_network_of_the_location_sees_the_node_on_every_path_of_the_sender() {
    let network = Network::guarded();
    let unknown = "198.51.100.8";
    network.remote.ip(&format!("address add {unknown}/32 dev node"));
    network.node.ip(&format!("route add {unknown} dev carrick0"));
    let seen = source_seen(&network.remote.socket(unknown), &network.outside.socket(PRINTER.0));
    assert_eq!(seen, address(NODE.0), "through the tunnel, from an address that the plan does not know");

    let near = Pair("10.3.0.6", "fd03::6");
    let plain = attach(&network.node, "lan0", near);
    let seen = source_seen(&plain.socket(near.0), &network.outside.socket(PRINTER.0));
    assert_eq!(seen, address(NODE.0), "without encapsulation, from a pod of the location");
}

#[test]
fn a_network_of_the_location_sees_the_sender_where_that_is_wanted() {
    let mut plan = plan();
    plan.allowed_location.masquerade = AllowedLocationMasquerade::Off;
    let network = Network::with(&plan);
    for (pod, printer) in in_both(POD, PRINTER) {
        assert_eq!(source_seen(&network.pod.socket(pod), &network.outside.socket(printer)), address(pod));
    }
    for (remote, printer) in in_both(REMOTE_POD, PRINTER) {
        assert_eq!(source_seen(&network.remote.socket(remote), &network.outside.socket(printer)), address(remote));
    }
}

#[test]
fn what_has_nothing_to_do_with_the_mesh_keeps_its_source() {
    let network = Network::guarded();
    let stranger = "198.51.100.7";
    let elsewhere = attach(&network.node, "lan0", Pair(stranger, "2001:db8:7::7"));
    let seen = source_seen(&elsewhere.socket(stranger), &network.outside.socket(PRINTER.0));
    assert_eq!(seen, address(stranger));
}

#[test]
fn a_node_of_the_location_sees_this_node() {
    let network = Network::guarded();
    for ((remote, neighbour), node) in in_both(REMOTE_POD, NEIGHBOUR).into_iter().zip(NODE.both()) {
        let seen = source_seen(&network.remote.socket(remote), &network.outside.socket(neighbour));
        assert_eq!(seen, address(node));
    }
}

#[test]
fn the_hosts_own_flows_into_the_mesh_have_its_mesh_address() {
    let network = Network::guarded();
    for (far, receivers) in [(&network.remote, REMOTE_POD), (&network.near, NEAR_POD)] {
        for ((node, receiver), mesh) in in_both(NODE, receivers).into_iter().zip(MESH.both()) {
            let receiver = far.socket(receiver);
            assert_eq!(source_seen(&network.node.socket(node), &receiver), address(mesh));
            assert_eq!(source_seen(&network.node.socket(mesh), &receiver), address(mesh));
        }
    }
    let pod_address = "10.1.0.77";
    network.node.ip(&format!("address add {pod_address}/32 dev lo"));
    let seen = source_seen(&network.node.socket(pod_address), &network.remote.socket(REMOTE_POD.0));
    assert_eq!(seen, address(pod_address), "one of this node's pod addresses is as good");
    for (internet, remote) in in_both(INTERNET, REMOTE_POD) {
        let seen = source_seen(&network.outside.socket(internet), &network.remote.socket(remote));
        assert_eq!(seen, address(internet), "what the host only passes on is not its own");
    }
}

#[test]
fn the_hosts_own_flows_to_nodes_have_its_internal_address_where_the_plan_says_so() {
    let network = Network::guarded();
    let second = Pair("192.0.2.77", "2001:db8::77");
    give(&network.node, "eth0", &[second]);
    for (((bound, host), node), mesh) in in_both(second, REMOTE_HOST).into_iter().zip(NODE.both()).zip(MESH.both()) {
        let receiver = network.remote.socket(host);
        assert_eq!(source_seen(&network.node.socket(bound), &receiver), address(node), "another address of the host");
        assert_eq!(source_seen(&network.node.socket(node), &receiver), address(node));
        assert_eq!(source_seen(&network.node.socket(mesh), &receiver), address(mesh), "the mesh address is kept");
    }
    let mut without = plan();
    without.internal_destinations.clear();
    let network = Network::with(&without);
    for ((node, host), mesh) in in_both(NODE, REMOTE_HOST).into_iter().zip(MESH.both()) {
        assert_eq!(source_seen(&network.node.socket(node), &network.remote.socket(host)), address(mesh));
    }
}

#[test]
fn a_node_of_the_location_sees_the_far_node_where_packets_of_nodes_are_encapsulated() {
    let mut encapsulating = plan();
    encapsulating.location_internal_addresses = NEAR_POD.both().map(address).into();
    encapsulating.transit.retain(|net| NEAR_POD.both().iter().all(|near| !net.contains(&address(near))));
    let network = Network::with(&encapsulating);
    for (((far, near), pod), node) in in_both(REMOTE_HOST, NEAR_POD).into_iter().zip(REMOTE_POD.both()).zip(NODE.both())
    {
        let receiver = network.near.socket(near);
        assert_eq!(source_seen(&network.remote.socket(far), &receiver), address(far));
        assert_eq!(
            source_seen(&network.remote.socket(pod), &receiver),
            address(node),
            "the network does not know pods"
        );
    }
}

#[test]
fn a_node_of_the_location_sees_the_far_node_where_packets_are_plain() {
    let mut plain = plan();
    plain.plain_neighbours = NEIGHBOUR.both().map(address).into();
    let network = Network::with(&plain);
    for (((far, neighbour), pod), node) in
        in_both(REMOTE_HOST, NEIGHBOUR).into_iter().zip(REMOTE_POD.both()).zip(NODE.both())
    {
        let receiver = network.outside.socket(neighbour);
        assert_eq!(source_seen(&network.remote.socket(far), &receiver), address(far));
        assert_eq!(source_seen(&network.remote.socket(pod), &receiver), address(node), "a pod");
    }
    let network = Network::guarded();
    for ((far, neighbour), node) in in_both(REMOTE_HOST, NEIGHBOUR).into_iter().zip(NODE.both()) {
        let seen = source_seen(&network.remote.socket(far), &network.outside.socket(neighbour));
        assert_eq!(seen, address(node), "the location's network takes no foreign sources");
    }
}

#[test]
fn the_hosts_flows_beside_the_mesh_are_left_alone() {
    let network = Network::guarded();
    let second = "192.0.2.77";
    network.node.ip(&format!("address add {second}/32 dev eth0"));
    for receiver in [INTERNET, PRINTER, NEIGHBOUR] {
        let seen = source_seen(&network.node.socket(second), &network.outside.socket(receiver.0));
        assert_eq!(seen, address(second));
    }
}

#[test]
fn what_kube_proxy_masquerades_is_masqueraded_by_either_order() {
    let kube_proxy = "table ip nat { \
        chain marking { type nat hook prerouting priority dstnat ; udp dport 7000 meta mark set 0x4000 ; } ; \
        chain masquerading { type nat hook postrouting priority srcnat ; meta mark & 0x4000 == 0x4000 masquerade ; } ; }";
    for first in ["kube-proxy", "carrick"] {
        let mut network = Network::new();
        if first == "kube-proxy" {
            network.node.nft(kube_proxy);
            network.apply(&plan());
        } else {
            network.apply(&plan());
            network.node.nft(kube_proxy);
        }
        let remote = network.remote.socket(REMOTE_POD.0);
        assert_eq!(source_seen(&network.pod.socket(POD.0), &remote), address(MESH.0), "{first} first");
        let internet = network.outside.socket(INTERNET.0);
        assert_eq!(source_seen(&network.pod.socket(POD.0), &internet), address(NODE.0), "{first} first");
    }
}
