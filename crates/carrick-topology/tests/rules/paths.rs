//! How gateways reach each other: directly or through a relay.

use carrick_topology::WarningReason;
use carrick_topology::model::{Granularity, Preference};
use carrick_topology::plan::{NextHop, NodePlan};
use carrick_topology::walk::Outcome;

use crate::fixtures::*;

/// The peer that carries pods of `b1`.
fn carrier_of_b1(plan: &NodePlan) -> Option<String> {
    let pods = net("10.42.21.0/24");
    tunnels(plan).into_iter().find(|name| tunnel(plan, name).is_some_and(|peer| peer.allowed_ips.contains(&pods)))
}

#[test]
fn a_node_behind_nat_dials_one_that_has_an_endpoint() {
    let mesh = mesh([nat_node("a1"), node("b1")]);
    let (a, b) = (mesh.plan("a1"), mesh.plan("b1"));
    assert_eq!(tunnel(&a, "b1").unwrap().endpoint, Some("198.51.2.1:51820".parse().unwrap()));
    assert_eq!(tunnel(&b, "a1").unwrap().endpoint, None, "it waits to be dialled");
}

#[test]
fn two_gateways_behind_nat_use_a_relay_in_a_third_location() {
    let mesh = mesh([nat_node("a1"), nat_node("b1"), node("c1")]);
    let (a, b) = (mesh.plan("a1"), mesh.plan("b1"));
    assert_eq!((tunnels(&a), tunnels(&b)), (vec!["c1".to_owned()], vec!["c1".to_owned()]));
    assert!(tunnel(&a, "c1").unwrap().allowed_ips.is_superset(&nets(&["10.42.21.0/24", "10.42.31.0/24"])));
    assert!(tunnel(&b, "c1").unwrap().allowed_ips.is_superset(&nets(&["10.42.11.0/24", "10.42.31.0/24"])));
    let walk = mesh.walk("a1", "10.42.11.9", "10.42.21.9");
    assert_eq!(walk.nodes().map(|node| node.as_str()).collect::<Vec<_>>(), ["a1", "c1"]);
    assert_eq!(walk.outcome, Outcome::Pod("b1".parse().unwrap()));
}

#[test]
fn both_directions_use_the_same_relay() {
    for third in ["c1", "d1", "e1", "f1", "g1", "h1"] {
        let mesh = mesh([nat_node("a1"), nat_node("b1"), node(third), node("i1"), node("j1")]);
        let there = mesh.walk("a1", "10.42.11.9", "10.42.21.9");
        let back = mesh.walk("b1", "10.42.21.9", "10.42.11.9");
        assert_eq!(there.hops[1].from, back.hops[1].from, "{there:?} {back:?}");
    }
}

#[test]
fn gateways_without_a_common_family_use_a_relay_that_has_both() {
    let only = |name: &str, v4: bool| {
        node(name).with(|node| {
            let keep = |text: &str| text.contains(':') != v4;
            node.advertised_endpoints.retain(|endpoint| keep(&endpoint.address().unwrap().to_string()));
            node.internal_addresses = internal(&[if v4 { "192.168.1.1/24" } else { "fd99:0:0:2::1/64" }]);
        })
    };
    let mesh = mesh([only("a1", true), only("b1", false), node("c1")]);
    assert_eq!(carrier_of_b1(&mesh.plan("a1")), Some("c1".to_owned()));
    assert_eq!(tunnel(&mesh.plan("b1"), "c1").unwrap().endpoint, Some("[2001:db8:3::1]:51820".parse().unwrap()));
}

#[test]
fn a_gateway_with_relay_never_does_not_relay() {
    let never = node("c1").with(|node| node.relay = Preference::Never);
    let mesh = mesh([nat_node("a1"), nat_node("b1"), never, node("d1")]);
    assert_eq!(carrier_of_b1(&mesh.plan("a1")), Some("d1".to_owned()));
}

#[test]
fn a_preferred_relay_precedes_all_others() {
    for preferred in ["c1", "d1", "e1"] {
        let mesh = mesh([nat_node("a1"), nat_node("b1"), node("c1"), node("d1"), node("e1")])
            .change(preferred, |node| node.relay = Preference::Preferred);
        assert_eq!(carrier_of_b1(&mesh.plan("a1")).as_deref(), Some(preferred));
    }
}

#[test]
fn a_dead_gateway_does_not_relay() {
    let mesh = mesh([nat_node("a1"), nat_node("b1"), node("c1"), node("d1")]);
    let relay = carrier_of_b1(&mesh.plan("a1")).unwrap();
    let other = carrier_of_b1(&mesh.down(&[&relay]).plan("a1")).unwrap();
    assert_ne!(relay, other);
}

#[test]
fn a_dead_gateway_relays_if_no_other_one_can() {
    let mesh = mesh([nat_node("a1"), nat_node("b1"), node("c1")]).down(&["c1"]);
    assert_eq!(carrier_of_b1(&mesh.plan("a1")).unwrap(), "c1");
}

#[test]
fn a_gateway_that_is_tried_in_place_of_dead_ones_relays_only_if_no_other_one_can() {
    let names = ["c1", "c2", "c3", "c4", "c5", "c6"];
    let c = || [nat_node("a1"), nat_node("b1")].into_iter().chain(names.map(node));
    for dead in [names[..2].to_vec(), names[..4].to_vec()] {
        let without_other = mesh(c()).down(&dead).plan("a1");
        assert!(carrier_of_b1(&without_other).unwrap().starts_with('c'));
        for other in ["d1", "e1", "f1"] {
            let plan = mesh(c().chain([node(other)])).down(&dead).plan("a1");
            assert_eq!(carrier_of_b1(&plan).unwrap(), other);
        }
    }
}

#[test]
fn without_a_relay_both_nodes_get_a_warning_and_no_tunnel() {
    let never = node("c1").with(|node| node.relay = Preference::Never);
    let mesh = mesh([nat_node("a1"), nat_node("b1"), never]);
    for (me, other, pods) in [("a1", "b1", "10.42.21.0/24"), ("b1", "a1", "10.42.11.0/24")] {
        let plan = mesh.plan(me);
        let expected = warning(node_object(me), "endpoint", "none", WarningReason::NoPath(other.parse().unwrap()));
        assert!(plan.warnings.contains(&expected), "{:?}", plan.warnings);
        assert_eq!(next_hop(&plan, pods), Some(&NextHop::Unreachable));
        assert_eq!(next_hop(&plan, "10.42.31.0/24"), Some(&NextHop::WireGuard), "the third location is still reached");
    }
    assert!(mesh.plan("c1").warnings.is_empty());
}

#[test]
fn a_relay_is_in_a_third_location() {
    let mesh = mesh([nat_node("a1").with(gateway(Preference::Preferred)), node("a2"), nat_node("b1")]);
    let reason = WarningReason::NoPath("b1".parse().unwrap());
    assert!(mesh.plan("a1").warnings.contains(&warning(node_object("a1"), "endpoint", "none", reason)));
}

#[test]
fn in_cross_and_full_the_oldest_public_node_of_a_third_location_relays() {
    for granularity in [Granularity::Cross, Granularity::Full] {
        let mesh = mesh([nat_node("a1"), nat_node("b1"), nat_node("c1"), node("c2"), node("c3")]);
        assert_eq!(carrier_of_b1(&mesh.granularity(granularity).plan("a1")).as_deref(), Some("c2"));
    }
}
