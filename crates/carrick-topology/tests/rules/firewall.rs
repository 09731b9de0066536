//! The sets of the nftables table.

use carrick_topology::DeviceName;
use carrick_topology::model::{Encapsulation, Granularity, PodNetwork};
use carrick_topology::plan::{NextHop, NodePlan};

use crate::fixtures::*;

fn permitted(plan: &NodePlan, device: &str, destination: &str) -> bool {
    let device: DeviceName = device.parse().unwrap();
    plan.firewall.carried_by.get(&device).is_some_and(|nets| nets.contains(&net(destination)))
}

/// `a3` is an inner node, `a4` another one in another subnet.
fn world() -> Mesh {
    let apart = node("a4").with(|n| n.internal_addresses = internal(&["192.168.101.4/24"]));
    mesh([node("a1"), node("a2"), node("a3"), apart, node("b1")])
        .peer(outside("laptop", 200, &["172.30.0.1/32"]).with(|peer| peer.location = location("b")))
        .set(|settings| settings.encapsulation = Encapsulation::CrossSubnet)
}

#[test]
fn the_leak_guard_covers_all_that_the_mesh_carries() {
    let nothing_of_its_own = ["10.42.13.0/24", "192.168.1.3/32", "192.168.1.1/32"];
    let carried = [
        "10.42.11.0/24",
        "fd42:0:0:11::/64",
        "10.42.21.0/24",
        "10.4.0.11/32",
        "10.4.0.21/32",
        "fdca:7272:6963:6b00::21/128",
        "10.4.0.0/16",
        "fdca:7272:6963:6b00::/64",
        "192.168.2.1/32",
        "fd99:0:0:2::1/128",
        "172.30.0.1/32",
    ];
    let plan = world().plan("a3");
    assert!(plan.firewall.carried.is_superset(&nets(&carried)), "{:?}", plan.firewall.carried);
    assert!(plan.firewall.carried.is_disjoint(&nets(&nothing_of_its_own)), "{:?}", plan.firewall.carried);
}

#[test]
fn the_leak_guard_permits_each_destination_only_on_the_device_of_its_route() {
    let plan = world().plan("a3");
    for (destination, device) in [
        ("10.42.12.0/24", "eth0"),
        ("10.42.14.0/24", "carrick-vx"),
        ("10.42.21.0/24", "eth0"),
        ("172.30.0.1/32", "eth0"),
    ] {
        for other in ["eth0", "carrick-vx", "carrick0"] {
            assert_eq!(permitted(&plan, other, destination), other == device, "{destination} by {other}");
        }
    }
    let gateway = world().plan("a1");
    assert!(permitted(&gateway, "carrick0", "10.42.21.0/24"));
    assert!(permitted(&gateway, "carrick-vx", "10.42.14.0/24"));
    assert!(permitted(&gateway, "eth0", "10.42.13.0/24"));
}

#[test]
fn a_destination_without_a_hop_is_in_the_leak_guard_and_permitted_on_no_device() {
    let plan = mesh([nat_node("a1"), nat_node("b1")]).plan("a1");
    assert!(plan.firewall.carried.contains(&net("10.42.21.0/24")));
    assert!(plan.firewall.carried_by.values().all(|nets| !nets.contains(&net("10.42.21.0/24"))));
}

#[test]
fn only_exceptions_inside_carried_networks_are_direct() {
    let plan = world().plan("a1");
    assert!(plan.firewall.direct.is_empty(), "{:?}", plan.firewall.direct);
    let wide = world().peer(outside("office", 201, &["198.51.0.0/16"]));
    assert!(wide.plan("a1").firewall.direct.is_empty(), "agents found the endpoints");
    let forced = wide.change("b1", |node| node.endpoint = Some("198.51.2.1:51820".parse().unwrap()));
    assert_eq!(forced.plan("a1").firewall.direct, nets(&["198.51.2.1/32"]));
}

#[test]
fn vxlan_is_accepted_only_from_other_nodes_of_the_location() {
    let plan = world().plan("a3");
    let sources: Vec<String> = plan.firewall.vxlan_sources.iter().map(ToString::to_string).collect();
    assert_eq!(sources, ["192.168.1.1", "192.168.1.2", "192.168.101.4", "fd99:0:0:1::1", "fd99:0:0:1::2"]);
    assert_eq!(plan.firewall.location_internal_addresses, plan.firewall.vxlan_sources);
    assert!(world().plan("b1").firewall.vxlan_sources.is_empty());
    let own: Vec<String> = plan.firewall.vxlan_addresses.iter().map(ToString::to_string).collect();
    assert_eq!(own, ["192.168.1.3", "fd99:0:0:1::3"], "and at the node's own internal addresses");
}

#[test]
fn the_firewall_plan_names_own_networks_and_devices() {
    let plan = world().plan("a3");
    assert_eq!(plan.firewall.own_pods, nets(&["10.42.13.0/24", "fd42:0:0:13::/64"]));
    let devices: Vec<&str> = plan.firewall.mesh_devices.all().map(|device| device.as_str()).into();
    assert_eq!(devices, ["carrick0", "carrick-vx", "carrick-ho"]);
    assert_eq!(plan.firewall.pod_device_prefix.as_deref(), Some("crk"));
    assert_eq!((plan.firewall.firewall_mark, plan.wireguard.firewall_mark), (0x1000, 0x1000));
    let foreign = world().set(|settings| settings.pod_network = PodNetwork::Foreign).plan("a3");
    assert_eq!(foreign.firewall.pod_device_prefix, None);
    let containers = |plan: &NodePlan| plan.firewall.container_devices.contains("docker");
    assert!(containers(&plan) && !containers(&foreign));
    let bridges = |network| {
        let host = world().set(|settings| {
            settings.pod_network = network;
            settings.local.container_bridges = ["vmbr1".parse().unwrap()].into();
        });
        host.plan("a3").firewall.container_bridges.len()
    };
    assert_eq!([PodNetwork::Carrick, PodNetwork::Foreign].map(bridges), [1, 0]);
}

#[test]
fn the_ports_of_the_mesh_are_protected_at_every_address_of_every_node() {
    let plan = world().plan("a3");
    let ports = &plan.firewall.mesh_ports;
    assert_eq!(ports.ports, [51820, 51821, 51822, 51823].into());
    let mesh = ["10.4.0.0/16", "fdca:7272:6963:6b00::/64"];
    assert_eq!(ports.senders, nets(&mesh));
    let addresses = ["192.168.1.1/32", "192.168.1.3/32", "192.168.101.4/32", "192.168.2.1/32", "fd99:0:0:2::1/128"];
    assert!(ports.addresses.is_superset(&nets(&mesh)) && ports.addresses.is_superset(&nets(&addresses)), "{ports:?}");
    let pods = ["10.42.12.0/24", "10.42.21.0/24", "172.30.0.1/32"];
    assert!(ports.addresses.is_disjoint(&nets(&pods)), "{ports:?}");
}

#[test]
fn vxlan_is_taken_from_no_node_where_none_sends_any() {
    use Encapsulation::{Always, CrossSubnet, Never};
    use Granularity::{Cross, Full, Location};
    for granularity in [Location, Cross, Full] {
        for encapsulation in [Always, CrossSubnet, Never] {
            let world = mesh([node("a1"), node("a2"), node("b1")])
                .set(|settings| (settings.granularity, settings.encapsulation) = (granularity, encapsulation));
            let plan = world.plan("a1");
            let is_used = plan.routes.iter().any(|route| matches!(route.next_hop, NextHop::Vxlan { .. }));
            let is_taken = !plan.firewall.vxlan_sources.is_empty();
            assert_eq!(is_taken, granularity != Full && encapsulation != Never, "{granularity} {encapsulation}");
            assert!(is_taken || !is_used, "{granularity} {encapsulation}");
        }
    }
}

#[test]
fn sources_are_checked_where_no_packet_of_theirs_comes_without_encapsulation() {
    use Encapsulation::{Always, CrossSubnet, Never};
    use Granularity::{Cross, Full, Location};
    let near = ["10.42.12.0/24", "fd42:0:0:12::/64", "10.4.0.12/32"];
    let far = ["10.42.21.0/24", "fd42:0:0:21::/64", "10.4.0.21/32"];
    let own = ["10.42.11.0/24", "10.4.0.11/32"];
    for (granularity, encapsulation, near_checked, far_checked) in [
        (Location, Always, true, true),
        (Location, CrossSubnet, false, false),
        (Location, Never, false, false),
        (Cross, Always, true, true),
        (Cross, CrossSubnet, false, true),
        (Cross, Never, false, true),
        (Full, Always, true, true),
        (Full, CrossSubnet, true, true),
        (Full, Never, true, true),
    ] {
        let set = |settings: &mut carrick_topology::Settings| {
            (settings.granularity, settings.encapsulation) = (granularity, encapsulation);
        };
        let world = mesh([node("a1"), node("a2"), node("b1")]).set(set);
        let checked = world.plan("a1").firewall.encapsulated_sources;
        assert_eq!(checked.is_superset(&nets(&near)), near_checked, "{granularity} {encapsulation}: {checked:?}");
        assert_eq!(checked.is_superset(&nets(&far)), far_checked, "{granularity} {encapsulation}: {checked:?}");
        assert!(checked.is_disjoint(&nets(&own)), "{granularity} {encapsulation}: {checked:?}");
        let foreign = world.set(|settings| settings.pod_network = PodNetwork::Foreign);
        assert!(foreign.plan("a1").firewall.encapsulated_sources.is_empty());
    }
}

#[test]
fn sources_are_checked_where_no_neighbour_in_the_subnet_sends_packets_without_encapsulation() {
    use Granularity::{Cross, Location};
    let far = ["10.42.21.0/24", "fd42:0:0:21::/64", "10.4.0.21/32"];
    let of_a1 = ["10.42.11.0/24", "10.4.0.11/32"];
    let of_a1_v6 = ["fd42:0:0:11::/64", "fdca:7272:6963:6b00::11/128"];
    for (granularity, encapsulation) in [Location, Cross]
        .into_iter()
        .flat_map(|granularity| [(granularity, Encapsulation::CrossSubnet), (granularity, Encapsulation::Never)])
    {
        // `a4` is alone in its subnet. `a2` shares an IPv4 subnet with `a1`, and no IPv6 subnet.
        let near = node("a2").with(|n| n.internal_addresses = internal(&["192.168.1.2/24"]));
        let apart = node("a4").with(|n| n.internal_addresses = internal(&["192.168.101.4/24"]));
        let world = mesh([node("a1"), near, apart, node("b1")])
            .set(|settings| (settings.granularity, settings.encapsulation) = (granularity, encapsulation));
        let checked = |node: &str| world.plan(node).firewall.encapsulated_sources;
        let what = format!("{granularity} {encapsulation}");
        assert!(checked("a4").is_superset(&nets(&of_a1)) && checked("a4").is_superset(&nets(&far)), "{what}");
        assert!(checked("a1").is_superset(&nets(&["10.42.14.0/24", "fd42:0:0:14::/64"])), "{what}");
        assert!(checked("a2").is_disjoint(&nets(&of_a1)) && checked("a2").is_superset(&nets(&of_a1_v6)), "{what}");
        let far_v4_is_plain = granularity == Location;
        assert_eq!(checked("a2").is_disjoint(&nets(&["10.42.21.0/24", "10.4.0.21/32"])), far_v4_is_plain, "{what}");
        assert!(checked("a2").contains(&net("fd42:0:0:21::/64")), "{what}");
    }
}
