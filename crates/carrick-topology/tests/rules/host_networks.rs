//! The networks that the host is attached to.

use carrick_topology::model::{Encapsulation, Family, Granularity, RoutedNetwork, Settings};
use carrick_topology::plan::{Egress, NextHop};
use carrick_topology::{Warning, WarningReason};

use crate::fixtures::*;

/// The host of this node is attached to these networks too.
fn attached(networks: &[&str]) -> impl FnOnce(&mut Settings) {
    let networks = networks.iter().map(|text| (net(text), "tun0".parse().unwrap())).collect();
    move |settings| settings.local.networks = networks
}

fn overlap(name: &str, field: &str, value: &str, network: &str) -> Warning {
    let reason = WarningReason::OverlapsOwnSubnet(format!("{network} on tun0"));
    warning(node_object(name), field, value, reason)
}

#[test]
fn a_network_of_any_interface_is_not_routed_for_another_node() {
    let plain = mesh([node("a1"), node("b1").with(|n| n.allowed_location_cidrs = nets(&["172.20.0.0/24"]))]);
    let before = plain.plan("a1");
    let plan = plain.set(attached(&["192.168.2.0/24", "fd99::/16", "172.20.0.0/16", "10.42.21.0/24"])).plan("a1");
    let expected = [
        overlap("b1", "internal-addresses", "192.168.2.1/32", "192.168.2.0/24"),
        overlap("b1", "internal-addresses", "fd99:0:0:2::1/128", "fd99::/16"),
        overlap("b1", "allowed-location-cidrs", "172.20.0.0/24", "172.20.0.0/16"),
        overlap("b1", "pod-cidrs", "10.42.21.0/24", "10.42.21.0/24"),
    ];
    assert_eq!(plan.warnings, expected.into());
    for taken in ["192.168.2.1/32", "fd99:0:0:2::1/128", "172.20.0.0/24", "10.42.21.0/24"] {
        assert_eq!(next_hop(&before, taken), Some(&NextHop::WireGuard), "{taken} without the network");
        assert!(routes(&plan, taken).is_empty(), "{taken}");
        assert!(!plan.firewall.carried.contains(&net(taken)), "{taken}");
    }
    for kept in ["10.4.0.21/32", "fd42:0:0:21::/64"] {
        assert_eq!(next_hop(&plan, kept), Some(&NextHop::WireGuard), "{kept}");
    }
}

#[test]
fn a_host_network_inside_a_mesh_cidr_stays_outside_the_mesh() {
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        let mesh = mesh([node("a1"), node("a2"), node("b1")]).granularity(granularity);
        let plan = mesh.set(attached(&["10.4.0.16/28"])).plan("a1");
        assert_eq!(next_hop(&plan, "10.4.0.16/28"), Some(&NextHop::Throw));
        assert!(plan.firewall.direct.contains(&net("10.4.0.16/28")));
        assert_eq!(next_hop(&plan, "10.4.0.0/16"), Some(&NextHop::Unreachable), "the rest of it");
        assert!(routes(&plan, "10.4.0.21/32").is_empty(), "b1 has an address of the host's network");
        assert!(next_hop(&plan, "10.4.0.12/32").is_some(), "a2 has none");
        let expected = [
            overlap("a1", "mesh-cidr", "10.4.0.0/16", "10.4.0.16/28"),
            overlap("b1", "mesh-addresses", "10.4.0.21/32", "10.4.0.16/28"),
        ];
        assert_eq!(plan.warnings, expected.into(), "{granularity}");
        let probed = &plan.probes.targets["b1"];
        assert_eq!(
            (probed.to.is_ipv4(), probed.egress),
            (true, Egress::Tunnel),
            "the routes lead to the host's network"
        );
    }
}

#[test]
fn a_host_network_inside_a_pod_cidr_of_another_node_stays_outside_the_mesh() {
    let plan = mesh([node("a1"), node("b1")]).set(attached(&["10.42.21.64/26"])).plan("a1");
    assert_eq!(next_hop(&plan, "10.42.21.64/26"), Some(&NextHop::Throw));
    assert_eq!(next_hop(&plan, "10.42.21.0/24"), Some(&NextHop::WireGuard));
    assert_eq!(plan.warnings, [overlap("b1", "pod-cidrs", "10.42.21.0/24", "10.42.21.64/26")].into());
}

#[test]
fn a_wide_host_network_leaves_to_the_cluster_the_part_that_the_operator_gave_it() {
    let plan = mesh([node("a1"), node("b1")]).set(attached(&["10.0.0.0/8"])).plan("a1");
    for kept in ["10.42.21.0/24", "10.4.0.21/32"] {
        assert_eq!(next_hop(&plan, kept), Some(&NextHop::WireGuard), "{kept}");
    }
    let reason = WarningReason::PartOfOwnSubnet("10.0.0.0/8 on tun0".to_owned());
    assert_eq!(plan.warnings, [warning(node_object("a1"), "mesh-cidr", "10.4.0.0/16", reason)].into());

    let elsewhere = node("a1").with(|node| node.pod_cidrs = nets(&["172.22.1.0/24"]));
    let plan = mesh([elsewhere, node("b1")]).set(attached(&["10.0.0.0/8"])).plan("a1");
    assert!(routes(&plan, "10.42.21.0/24").is_empty(), "no pod CIDR of this node is in the host's network");
    assert!(plan.warnings.contains(&overlap("b1", "pod-cidrs", "10.42.21.0/24", "10.0.0.0/8")));
}

#[test]
fn what_overlaps_no_host_network_is_as_before() {
    let mesh = mesh([node("a1"), node("a2"), node("b1")]);
    let before = mesh.plan("a1");
    assert_eq!(mesh.set(attached(&["172.17.0.0/16", "192.168.1.0/24"])).plan("a1"), before);
}

#[test]
fn vxlan_is_limited_to_the_devices_of_the_internal_addresses() {
    let devices = |mesh: &Mesh| mesh.plan("a1").firewall.vxlan_devices;
    let plain = mesh([node("a1"), node("a2")]);
    assert_eq!(devices(&plain), Some(["eth0".parse().unwrap()].into()));
    let first = |device: &str| {
        let device = device.parse().unwrap();
        let address = "192.168.1.1".parse().unwrap();
        plain.clone().set(|settings| drop(settings.local.internal_devices.insert(address, device)))
    };
    assert_eq!(devices(&first("eth7")), Some(["eth0".parse().unwrap(), "eth7".parse().unwrap()].into()));
    for unattached in ["lo", "dummy0", "br-loop"] {
        let device = unattached.parse().unwrap();
        let mesh = first(unattached).set(|settings| settings.local.unattached_devices = [device].into());
        assert_eq!(devices(&mesh), None, "{unattached} shows no way into the location");
    }
    assert_eq!(devices(&plain.set(|settings| settings.local.internal_devices.clear())), None);
    let alone = mesh([node("a1").with(|node| node.internal_addresses = internal(&[])), node("a2")]);
    assert_eq!(devices(&alone), Some([].into()), "a node that is alone sends no VXLAN");
}

#[test]
fn packets_never_leave_directly_by_a_device_that_leads_nowhere() {
    let hop = |mesh: &Mesh| next_hop(&mesh.plan("a1"), "10.42.12.0/24").cloned();
    let direct =
        |device: &str| NextHop::Direct { via: "192.168.1.2".parse().unwrap(), device: device.parse().unwrap() };
    for device in ["dummy0", "node0", "br-loop"] {
        let on = |settings: &mut Settings| {
            settings.encapsulation = Encapsulation::CrossSubnet;
            for internal in settings.local.internal_devices.values_mut() {
                *internal = device.parse().unwrap();
            }
        };
        let mesh = mesh([node("a1"), node("a2")]).set(on);
        assert_eq!(hop(&mesh), Some(direct(device)), "{device} leads to the subnet");
        let unattached = mesh.set(|settings| settings.local.unattached_devices = [device.parse().unwrap()].into());
        assert!(matches!(hop(&unattached), Some(NextHop::Vxlan { .. })), "{device}: {:?}", hop(&unattached));
    }
}

#[test]
fn a_neighbour_behind_another_device_is_reported_where_vxlan_would_go_there() {
    let stray = |settings: &mut Settings| {
        settings.local.stray_neighbours = [("192.168.1.2".parse().unwrap(), "pub0".parse().unwrap())].into();
    };
    let mesh = mesh([node("a1"), node("a2"), node("a3"), node("b1")]).set(stray);
    let reason = WarningReason::RoutedElsewhere("pub0".to_owned());
    let expected = warning(node_object("a2"), "internal-addresses", "192.168.1.2", reason);
    assert!(expected.to_string().contains("--topology-label"), "it names what to set");
    assert_eq!(mesh.plan("a1").warnings, [expected].into());
    let full = mesh.clone().granularity(Granularity::Full);
    let never = mesh.set(|settings| settings.encapsulation = Encapsulation::Never);
    for silent in [full, never] {
        assert!(silent.plan("a1").warnings.is_empty(), "{:?}", silent.plan("a1").warnings);
    }
}

#[test]
fn a_neighbour_behind_the_router_to_the_internet_is_reported_where_vxlan_would_go_there() {
    let mesh = mesh([node("a1"), node("a2"), node("a3"), node("b1")]).set(|settings| {
        settings.local.internet_neighbours = [("192.168.1.2".parse().unwrap(), "eth0".parse().unwrap())].into();
    });
    let reason = WarningReason::RoutedToInternet("eth0".to_owned());
    let expected = warning(node_object("a2"), "internal-addresses", "192.168.1.2", reason);
    assert_eq!(mesh.plan("a1").warnings, [expected].into());
    assert!(mesh.granularity(Granularity::Full).plan("a1").warnings.is_empty());
}

/// The host of this node reaches these networks through a gateway.
fn routed(networks: &[(&str, &str)]) -> impl FnOnce(&mut Settings) {
    let routed = |via: &str| RoutedNetwork { device: "eth0".parse().unwrap(), via: [via.parse().unwrap()].into() };
    let networks = networks.iter().map(|(network, via)| (net(network), routed(via))).collect();
    move |settings| settings.local.routed = networks
}

#[test]
fn a_network_behind_a_router_of_the_host_stays_outside_the_mesh() {
    for (network, via, destination, of, field) in [
        ("10.4.0.16/28", "192.168.1.254", "10.4.0.0/16", "a1", "mesh-cidr"),
        ("10.42.21.64/26", "192.168.1.254", "10.42.21.0/24", "b1", "pod-cidrs"),
        ("192.168.2.0/24", "192.168.2.254", "192.168.2.1/32", "b1", "internal-addresses"),
        ("fd99:0:0:2::/64", "fe80::1", "fd99:0:0:2::1/128", "b1", "internal-addresses"),
    ] {
        let mesh = mesh([node("a1"), node("b1")]);
        let plan = mesh.set(routed(&[(network, via)])).plan("a1");
        let reason = WarningReason::OverlapsOwnSubnet(format!("{network} via {via} on eth0"));
        let expected = warning(node_object(of), field, destination, reason);
        assert!(plan.warnings.contains(&expected), "{network}: {:?}", plan.warnings);
        if field == "internal-addresses" {
            assert!(routes(&plan, destination).is_empty(), "{network}");
        } else {
            assert_eq!(next_hop(&plan, network), Some(&NextHop::Throw), "{network}");
            assert!(plan.firewall.direct.contains(&net(network)), "{network}");
        }
    }
}

#[test]
fn a_route_of_another_cni_plugin_through_a_node_is_no_network_of_the_host() {
    let mesh = mesh([node("a1"), node("a2"), node("b1")]);
    let before = mesh.plan("a1");
    let host_gateway = routed(&[("10.42.12.0/24", "192.168.1.2"), ("10.42.21.0/24", "192.168.2.1")]);
    assert_eq!(mesh.set(host_gateway).plan("a1"), before);
}

#[test]
fn a_kernel_without_ipv6_gets_no_ipv6_and_a_warning_says_so() {
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        let mesh = mesh([node("a1"), node("a2"), node("b1")]).granularity(granularity);
        let plan = mesh.set(|settings| settings.local.missing_families = [Family::V6].into()).plan("a1");
        assert!(plan.routes.iter().all(|route| Family::of_net(&route.destination) == Family::V4), "{granularity}");
        assert_eq!(plan.rules, [Family::V4].into());
        let neighbours = plan.vxlan.neighbours.values().flat_map(|neighbour| &neighbour.mesh_addresses);
        assert!(neighbours.into_iter().all(|address| address.is_ipv4()));
        assert!(next_hop(&plan, "10.42.21.0/24").is_some() && next_hop(&plan, "10.4.0.12/32").is_some());
        let reason = WarningReason::FamilyMissing("IPv6".to_owned());
        let cidr = "fdca:7272:6963:6b00::/64";
        assert!(plan.warnings.contains(&warning(node_object("a1"), "mesh-cidr", cidr, reason)), "{:?}", plan.warnings);
    }
}

#[test]
fn a_kernel_without_ipv6_in_a_mesh_that_needs_none_gets_no_warning() {
    let v4_alone = |name: &str| {
        node(name).with(|n| {
            n.mesh_addresses.retain(std::net::IpAddr::is_ipv4);
            n.pod_cidrs.retain(|cidr| Family::of_net(cidr) == Family::V4);
        })
    };
    let mesh = mesh(["a1", "a2", "b1"].map(v4_alone)).set(|settings| {
        settings.mesh_cidrs = nets(&["10.4.0.0/16"]);
        settings.local.missing_families = [Family::V6].into();
    });
    let plan = mesh.plan("a1");
    assert_eq!(plan.warnings, [].into());
    assert!(next_hop(&plan, "10.42.21.0/24").is_some() && next_hop(&plan, "10.42.12.0/24").is_some());
    assert_eq!(plan.rules, [Family::V4].into());
}

#[test]
fn a_kernel_without_ipv6_gets_no_route_to_ipv6_networks_of_peers_and_locations() {
    for encapsulation in [Encapsulation::Always, Encapsulation::CrossSubnet, Encapsulation::Never] {
        let b1 = node("b1").with(|n| n.allowed_location_cidrs = nets(&["fd77::/48", "172.20.0.0/24"]));
        let mesh = mesh([node("a1"), node("a2"), b1]).peer(outside("laptop", 9, &["fd09::/64", "10.9.0.0/16"]));
        let mesh = mesh.set(|settings| {
            settings.encapsulation = encapsulation;
            settings.local.missing_families = [Family::V6].into();
        });
        let plan = mesh.plan("a1");
        let is_v6 = |route: &&carrick_topology::plan::Route| Family::of_net(&route.destination) == Family::V6;
        assert_eq!(plan.routes.iter().find(is_v6), None, "{encapsulation}");
        assert!(next_hop(&plan, "172.20.0.0/24").is_some() && next_hop(&plan, "10.9.0.0/16").is_some());
        assert_eq!(plan.rules, [Family::V4].into());
    }
}
