//! Between which networks a node only forwards.

use std::collections::BTreeSet;

use carrick_topology::model::{Encapsulation, Granularity};
use ipnet::IpNet;

use crate::fixtures::*;

/// `a1` is a gateway with an inner node, in the location of a network that is no node's; `laptop` is at `b1`.
fn world() -> Mesh {
    let gateway = node("a1").with(|n| n.allowed_location_cidrs = nets(&["172.20.0.0/16"]));
    mesh([gateway, node("a2"), node("b1"), node("b2")])
        .peer(outside("laptop", 200, &["172.30.0.1/32"]).with(|peer| peer.location = location("b")))
}

fn transit(mesh: &Mesh, name: &str) -> BTreeSet<IpNet> {
    mesh.plan(name).firewall.transit
}

const PODS: [&str; 6] =
    ["10.42.12.0/24", "10.42.21.0/24", "10.42.22.0/24", "fd42:0:0:12::/64", "fd42:0:0:21::/64", "fd42:0:0:22::/64"];
const ADDRESSES: [&str; 4] = ["10.4.0.12/32", "10.4.0.22/32", "fdca:7272:6963:6b00::12/128", "192.168.2.2/32"];

#[test]
fn packets_between_pods_and_nodes_elsewhere_are_in_transit() {
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        for encapsulation in [Encapsulation::Always, Encapsulation::CrossSubnet, Encapsulation::Never] {
            let world =
                world().set(|settings| (settings.granularity, settings.encapsulation) = (granularity, encapsulation));
            let found = transit(&world, "a1");
            assert!(found.is_superset(&nets(&PODS)), "{granularity} {encapsulation}: {found:?}");
            assert!(found.is_superset(&nets(&ADDRESSES)), "{granularity} {encapsulation}: {found:?}");
        }
    }
}

#[test]
fn what_the_node_has_translates_or_reaches_outside_of_the_mesh_is_not_in_transit() {
    let own = ["10.42.11.0/24", "fd42:0:0:11::/64", "10.4.0.11/32", "192.168.1.1/32", "10.4.0.0/16"];
    let translated = ["192.168.1.2/32", "fd99:0:0:1::2/128", "172.20.0.0/16"];
    let of_others = ["172.30.0.1/32"];
    let found = transit(&world(), "a1");
    for set in [&own[..], &translated, &of_others] {
        assert!(found.is_disjoint(&nets(set)), "{found:?}");
    }
    // The same address, as the other location sees it.
    assert!(transit(&world(), "b1").contains(&net("192.168.1.2/32")));
}

#[test]
fn a_network_of_which_a_part_is_translated_is_not_in_transit_at_all() {
    // An internal address of another location, inside an allowed-location CIDR of this node.
    let around = world().change("a1", |n| n.allowed_location_cidrs = nets(&["192.168.0.0/16"]));
    let found = transit(&around, "a1");
    assert!(found.is_disjoint(&nets(&["192.168.2.1/32", "192.168.2.2/32"])), "{found:?}");
    assert!(found.is_superset(&nets(&PODS)), "{found:?}");
    // A network of the host, inside the pods of another node.
    let attached = world().set(|settings| {
        settings.local.networks = [(net("10.42.21.128/25"), "tun0".parse().unwrap())].into();
    });
    let found = transit(&attached, "a1");
    assert!(!found.contains(&net("10.42.21.0/24")) && found.contains(&net("10.42.22.0/24")), "{found:?}");
}
