//! Networks of locations, and the subnets of a node.

use carrick_topology::WarningReason;
use carrick_topology::model::{AllowedLocationMasquerade, InternalAddresses};
use carrick_topology::plan::NextHop;
use carrick_topology::walk::Outcome;

use crate::fixtures::*;

/// `b2` and, younger, `b3` declare the network of location `b`.
fn declared(list: &[&str]) -> Mesh {
    let declares = |name: &str| node(name).with(|n| n.allowed_location_cidrs = nets(list));
    mesh([node("a1"), node("a3"), node("b1"), declares("b2"), declares("b3"), node("b4")])
}

#[test]
fn packets_to_a_declared_network_enter_at_the_oldest_declaring_node() {
    let mesh = declared(&["172.20.0.0/24"]);
    for (from, source) in [("a1", "10.42.11.9"), ("b1", "10.42.21.9"), ("b4", "10.42.24.9")] {
        let walk = mesh.walk(from, source, "172.20.0.7");
        assert_eq!(walk.outcome, Outcome::LocationNetwork("b2".parse().unwrap()), "{from}: {walk:?}");
        assert_eq!(walk.source, Some("192.168.2.2".parse().unwrap()), "masqueraded where it leaves the mesh");
    }
}

#[test]
fn a_second_declaring_node_is_an_exit_for_its_own_packets() {
    let mesh = declared(&["172.20.0.0/24"]);
    let plan = mesh.plan("b3");
    assert!(routes(&plan, "172.20.0.0/24").is_empty());
    assert!(plan.firewall.allowed_location.destinations.contains(&net("172.20.0.0/24")));
    assert_eq!(mesh.walk("b3", "10.42.23.9", "172.20.0.7").outcome, Outcome::LocationNetwork("b3".parse().unwrap()));
    assert!(plan.warnings.is_empty(), "two declarers of one location are no conflict: {:?}", plan.warnings);
}

#[test]
fn only_nodes_that_declare_a_network_are_exits_for_it() {
    let mesh = declared(&["172.20.0.0/24"]);
    for (name, plan) in mesh.plans() {
        let is_exit = !plan.firewall.allowed_location.destinations.is_empty();
        assert_eq!(is_exit, ["b2", "b3"].contains(&name.as_str()), "{name}");
    }
}

#[test]
fn masquerading_can_be_turned_off() {
    let mesh = declared(&["172.20.0.0/24"])
        .set(|settings| settings.allowed_location_masquerade = AllowedLocationMasquerade::Off);
    assert_eq!(mesh.walk("a1", "10.42.11.9", "172.20.0.7").source, Some("10.42.11.9".parse().unwrap()));
}

#[test]
fn a_network_outside_the_permitted_ones_is_ignored_alone() {
    let mesh = declared(&["172.20.0.0/24", "198.51.7.0/24", "0.0.0.0/0", "fd77::/16", "2001:db8::/32"]);
    let plan = mesh.plan("a1");
    let outside = ["198.51.7.0/24", "0.0.0.0/0", "2001:db8::/32"];
    let refused = outside.iter().flat_map(|cidr| {
        ["b2", "b3"].map(|name| {
            warning(node_object(name), "allowed-location-cidrs", cidr, WarningReason::OutsidePermittedCidrs)
        })
    });
    assert_eq!(plan.warnings, refused.collect());
    assert!(next_hop(&plan, "172.20.0.0/24").is_some() && next_hop(&plan, "fd77::/16").is_some());
    assert!(outside.iter().all(|cidr| routes(&plan, cidr).is_empty()));
    let wider = mesh.set(|settings| settings.permitted_location_cidrs = nets(&["198.51.0.0/16"])).plan("a1");
    assert!(next_hop(&wider, "198.51.7.0/24").is_some() && routes(&wider, "172.20.0.0/24").is_empty());
}

#[test]
fn overlaps_across_locations_stay_with_the_older_node_and_inside_one_both_count() {
    let declares = |name: &str, list: &[&str]| node(name).with(|n| n.allowed_location_cidrs = nets(list));
    let across = mesh([declares("a1", &["172.20.0.0/16"]), declares("b1", &["172.20.5.0/24", "172.21.0.0/24"])]);
    let plan = across.plan("a1");
    let expected = warning(
        node_object("b1"),
        "allowed-location-cidrs",
        "172.20.5.0/24",
        WarningReason::AlreadyClaimed(node_object("a1")),
    );
    assert_eq!(plan.warnings, [expected].into());
    assert_eq!(next_hop(&plan, "172.21.0.0/24"), Some(&NextHop::WireGuard));
    assert!(routes(&plan, "172.20.5.0/24").is_empty());

    let inside = mesh([node("a1"), declares("b1", &["172.20.0.0/16"]), declares("b2", &["172.20.5.0/24"])]);
    assert!(inside.plan("a1").warnings.is_empty());
    assert_eq!(inside.walk("a1", "10.42.11.9", "172.20.5.7").outcome, Outcome::LocationNetwork("b2".parse().unwrap()));
    assert_eq!(inside.walk("a1", "10.42.11.9", "172.20.6.7").outcome, Outcome::LocationNetwork("b1".parse().unwrap()));
}

#[test]
fn a_wide_network_leaves_the_own_location_endpoints_of_people_and_the_api_server_outside_the_mesh() {
    let wide = node("b1").with(|n| {
        n.allowed_location_cidrs = nets(&["192.168.0.0/16", "198.51.0.0/16"]);
        n.endpoint = Some("198.51.2.1:51820".parse().unwrap());
    });
    let mesh = mesh([node("a1"), node("a2"), node("a3"), wide])
        .set(|settings| settings.local.api_servers = ["198.51.9.9".parse().unwrap()].into())
        .set(|settings| settings.permitted_location_cidrs.extend(nets(&["198.51.0.0/16"])));
    let plan = mesh.plan("a1");
    assert_eq!(next_hop(&plan, "192.168.0.0/16"), Some(&NextHop::WireGuard));
    let outside = ["192.168.1.0/24", "192.168.1.1/32", "192.168.1.2/32", "198.51.2.1/32", "198.51.9.9/32"];
    for outside in outside {
        assert_eq!(next_hop(&plan, outside), Some(&NextHop::Throw), "{outside}");
        assert!(plan.firewall.direct.contains(&net(outside)), "{outside}");
    }
    assert_eq!(next_hop(&plan, "fd99:0:0:1::/64"), None, "no network covers it");
}

#[test]
fn a_metadata_service_of_a_cloud_is_never_carried() {
    let claims = node("b1").with(|n| {
        n.allowed_location_cidrs = nets(&["100.64.0.0/10", "100.100.100.200/32", "fd00:ec2::254/128"]);
        n.internal_addresses = InternalAddresses::Forced(nets(&["fd20:ce::254/128"]));
    });
    let plan = mesh([node("a1"), claims]).plan("a1");
    assert_eq!(next_hop(&plan, "100.64.0.0/10"), Some(&NextHop::WireGuard));
    assert_eq!(next_hop(&plan, "100.100.100.200/32"), Some(&NextHop::Throw), "the host's own routes lead there");
    for claimed in ["fd00:ec2::254/128", "fd20:ce::254/128"] {
        assert!(routes(&plan, claimed).is_empty(), "{claimed}");
    }
    let refused: Vec<_> = plan.warnings.iter().map(|warning| warning.value.as_str()).collect();
    assert_eq!(refused, ["100.100.100.200/32", "fd00:ec2::254/128"]);
}

#[test]
fn a_network_inside_a_wider_one_of_the_location_leaves_at_its_own_declarer() {
    let wide = node("b1").with(|n| n.allowed_location_cidrs = nets(&["172.20.0.0/16"]));
    let narrow = node("b2").with(|n| n.allowed_location_cidrs = nets(&["172.20.5.0/24"]));
    let mesh = mesh([node("a1"), wide, narrow, node("b3")]);
    assert_eq!(next_hop(&mesh.plan("b2"), "172.20.5.0/24"), Some(&NextHop::Throw));
    for (from, source) in [("b1", "10.42.21.9"), ("b2", "10.42.22.9"), ("b3", "10.42.23.9")] {
        let outcome = |to: &str| mesh.walk(from, source, to).outcome;
        assert_eq!(outcome("172.20.5.7"), Outcome::LocationNetwork("b2".parse().unwrap()), "{from}");
        assert_eq!(outcome("172.20.6.7"), Outcome::LocationNetwork("b1".parse().unwrap()), "{from}");
    }
}

#[test]
fn a_network_of_a_peer_inside_the_own_subnet_is_reported_with_the_peer() {
    let office = outside("office", 200, &["192.168.1.128/25"]).with(|peer| peer.location = location("b"));
    let plan = mesh([node("a1"), node("b1")]).peer(office).plan("a1");
    let reason = WarningReason::OverlapsOwnSubnet("192.168.1.0/24".to_owned());
    assert_eq!(plan.warnings, [warning(peer_object("office"), "allowedIPs", "192.168.1.128/25", reason)].into());
    assert!(routes(&plan, "192.168.1.128/25").is_empty());
}

#[test]
fn a_network_of_another_location_inside_the_own_subnet_is_not_routed() {
    let lan = node("a1").with(|n| n.internal_addresses = internal(&["192.168.2.77/24"]));
    let network = node("b1").with(|n| n.allowed_location_cidrs = nets(&["192.168.2.128/25", "172.20.0.0/24"]));
    let mesh = mesh([lan, network, node("b2"), node("c1")]);
    let plan = mesh.plan("a1");
    let reason = || WarningReason::OverlapsOwnSubnet("192.168.2.0/24".to_owned());
    let expected = [
        warning(node_object("b1"), "allowed-location-cidrs", "192.168.2.128/25", reason()),
        warning(node_object("b1"), "internal-addresses", "192.168.2.1/32", reason()),
        warning(node_object("b2"), "internal-addresses", "192.168.2.2/32", reason()),
    ];
    assert_eq!(plan.warnings, expected.into());
    for ignored in ["192.168.2.1/32", "192.168.2.2/32", "192.168.2.128/25"] {
        assert!(routes(&plan, ignored).is_empty(), "{ignored}");
    }
    for kept in ["172.20.0.0/24", "10.42.21.0/24", "10.4.0.21/32", "fd99:0:0:2::1/128", "192.168.3.1/32"] {
        assert_eq!(next_hop(&plan, kept), Some(&NextHop::WireGuard), "{kept}");
    }
    assert!(mesh.plan("c1").warnings.is_empty(), "others are not concerned");
    assert_eq!(next_hop(&mesh.plan("c1"), "192.168.2.77/32"), Some(&NextHop::WireGuard));
}
