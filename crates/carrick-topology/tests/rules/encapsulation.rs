//! Next hops, by encapsulation and granularity.

use carrick_topology::WarningReason;
use carrick_topology::model::{Encapsulation, Granularity, mac_of_node};
use carrick_topology::plan::NextHop;

use crate::fixtures::*;

/// `a3` and `a4` are inner nodes; `a4` is in another subnet than the others.
fn world(granularity: Granularity, encapsulation: Encapsulation) -> Mesh {
    let apart = node("a4").with(|n| n.internal_addresses = internal(&["192.168.101.4/24"]));
    mesh([node("a1"), node("a2"), node("a3"), apart, node("b1")])
        .granularity(granularity)
        .set(|settings| settings.encapsulation = encapsulation)
}

/// Next hops of `a3`: to the pods of a neighbour, to those of the neighbour in another subnet, and to another location.
fn of_inner(granularity: Granularity, encapsulation: Encapsulation) -> [NextHop; 3] {
    let plan = world(granularity, encapsulation).plan("a3");
    ["10.42.12.0/24", "10.42.14.0/24", "10.42.21.0/24"].map(|pods| next_hop(&plan, pods).unwrap().clone())
}

#[test]
fn always_encapsulates_inside_the_location() {
    let in_location = of_inner(Granularity::Location, Encapsulation::Always);
    assert_eq!(in_location, [vxlan("10.4.0.12"), vxlan("10.4.0.14"), vxlan("10.4.0.11")]);
    let in_cross = of_inner(Granularity::Cross, Encapsulation::Always);
    assert_eq!(in_cross, [vxlan("10.4.0.12"), vxlan("10.4.0.14"), NextHop::WireGuard]);
}

#[test]
fn cross_subnet_does_not_encapsulate_inside_a_shared_subnet() {
    let in_location = of_inner(Granularity::Location, Encapsulation::CrossSubnet);
    assert_eq!(in_location, [direct("192.168.1.2"), vxlan("10.4.0.14"), direct("192.168.1.1")]);
    let in_cross = of_inner(Granularity::Cross, Encapsulation::CrossSubnet);
    assert_eq!(in_cross, [direct("192.168.1.2"), vxlan("10.4.0.14"), NextHop::WireGuard]);
}

#[test]
fn with_never_nodes_without_a_shared_subnet_do_not_reach_each_other() {
    let in_location = of_inner(Granularity::Location, Encapsulation::Never);
    assert_eq!(in_location, [direct("192.168.1.2"), NextHop::Unreachable, direct("192.168.1.1")]);
    let in_cross = of_inner(Granularity::Cross, Encapsulation::Never);
    assert_eq!(in_cross, [direct("192.168.1.2"), NextHop::Unreachable, NextHop::WireGuard]);
    let expected = warning(node_object("a4"), "route", "IPv4", WarningReason::NoSharedSubnet("a3".parse().unwrap()));
    assert!(world(Granularity::Location, Encapsulation::Never).plan("a3").warnings.contains(&expected));
}

#[test]
fn full_needs_no_encapsulation() {
    for encapsulation in [Encapsulation::Always, Encapsulation::CrossSubnet, Encapsulation::Never] {
        let hops = of_inner(Granularity::Full, encapsulation);
        assert_eq!(hops, [NextHop::WireGuard, NextHop::WireGuard, NextHop::WireGuard]);
    }
}

#[test]
fn direct_routes_of_each_family_use_addresses_of_that_family() {
    let plan = world(Granularity::Location, Encapsulation::CrossSubnet).plan("a3");
    assert_eq!(next_hop(&plan, "fd42:0:0:12::/64"), Some(&direct("fd99:0:0:1::2")));
    assert_eq!(next_hop(&plan, "fd42:0:0:14::/64"), Some(&vxlan("fdca:7272:6963:6b00::14")));
}

#[test]
fn every_route_has_the_mesh_address_of_its_family_as_source_and_unreachable_behind_it() {
    let plan = world(Granularity::Location, Encapsulation::Always).plan("a3");
    for (pods, source) in [("10.42.21.0/24", "10.4.0.13"), ("fd42:0:0:21::/64", "fdca:7272:6963:6b00::13")] {
        let routes = routes(&plan, pods);
        assert_eq!(routes.len(), 2);
        assert_eq!(routes[0].source, Some(source.parse().unwrap()));
        assert_eq!((&routes[1].next_hop, routes[1].source), (&NextHop::Unreachable, None));
    }
    assert_eq!(routes(&plan, "10.4.0.21/32").len(), 1, "the mesh CIDR's own stands behind it");
    assert_eq!(next_hop(&plan, "10.4.0.0/16"), Some(&NextHop::Unreachable));
    assert_eq!(next_hop(&plan, "fdca:7272:6963:6b00::/64"), Some(&NextHop::Unreachable));
}

#[test]
fn the_vxlan_device_knows_every_other_node_of_the_location() {
    let plan = world(Granularity::Location, Encapsulation::Always).plan("a3");
    let names: Vec<&str> = plan.vxlan.neighbours.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["a1", "a2", "a4"]);
    let neighbour = &plan.vxlan.neighbours["a4"];
    assert_eq!(neighbour.mac, mac_of_node(&"a4".parse().unwrap()));
    assert_eq!(neighbour.internal_address.to_string(), "192.168.101.4");
    assert_eq!(neighbour.mesh_addresses, world(Granularity::Location, Encapsulation::Always).plan("a4").mesh_addresses);
    assert_eq!(plan.vxlan.mac, mac_of_node(&"a3".parse().unwrap()));
}
