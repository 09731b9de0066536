//! What goes by a second gateway as well while a gateway returns.

use std::collections::BTreeMap;

use carrick_topology::model::{Encapsulation, Granularity};
use carrick_topology::plan::Copies;

use crate::builders::{Changed as _, Mesh, location, mesh, net, nets, node, outside};

/// Location `a`: while `a1` is down, `a2` carries in its place, `a3` stands by and carries for itself, `a4` is an inner node.
fn clouds() -> Mesh {
    mesh([node("a1"), node("a2"), node("a3"), node("a4"), node("b1"), node("b2")])
}

fn copies(mesh: &Mesh, name: &str) -> BTreeMap<String, Copies> {
    mesh.plan(name).firewall.copies.into_iter().map(|(to, copies)| (to.to_string(), copies)).collect()
}

/// Before the moment, and after it.
fn both_sides(mesh: &Mesh) -> [Mesh; 2] {
    [mesh.clone().down(&["a1"]).returning(&["a1"]), mesh.clone().returning(&["a1"])]
}

#[test]
fn whoever_carries_in_its_place_copies_what_will_be_carried_by_the_one_that_returns() {
    for mesh in both_sides(&clouds()) {
        let by_a2 = &copies(&mesh, "a2")["a1"];
        assert_eq!(by_a2.by, ["10.4.0.11", "fdca:7272:6963:6b00::11"].map(|text| text.parse().unwrap()).into());
        assert_eq!(by_a2.devices, ["carrick-vx".parse().unwrap()].into());
        let wanted = nets(&[
            "10.42.14.0/24",
            "fd42:0:0:14::/64",
            "10.4.0.14/32",
            "fdca:7272:6963:6b00::14/128",
            "192.168.1.4/32",
            "fd99:0:0:1::4/128",
        ]);
        assert_eq!(by_a2.sources, wanted, "what the far end takes from one peer only, and no more");
        assert!(
            copies(&mesh, "a3")["a1"].sources.contains(&net("10.42.13.0/24")),
            "its own, which it carries meanwhile"
        );
    }
}

#[test]
fn nobody_else_copies_and_nobody_without_a_return() {
    for mesh in both_sides(&clouds()) {
        for other in ["a1", "a4", "b1", "b2"] {
            assert_eq!(copies(&mesh, other), BTreeMap::new(), "{other}");
        }
    }
    for mesh in [clouds(), clouds().down(&["a1"])] {
        assert!(mesh.plans().values().all(|plan| plan.firewall.copies.is_empty()));
    }
}

#[test]
fn a_standby_that_returns_takes_nothing_but_whoever_stood_by_for_it_gives_its_own_to_the_active_one() {
    let mesh = clouds().down(&["a2"]).returning(&["a2"]);
    assert_eq!(copies(&mesh, "a3").keys().collect::<Vec<_>>(), ["a1"]);
    for other in ["a1", "a2", "a4"] {
        assert_eq!(copies(&mesh, other), BTreeMap::new(), "{other}");
    }
}

#[test]
fn plain_copies_leave_by_the_device_that_leads_to_the_gateway() {
    let mesh = clouds().set(|settings| settings.encapsulation = Encapsulation::Never).down(&["a1"]).returning(&["a1"]);
    assert_eq!(copies(&mesh, "a2")["a1"].devices, ["eth0".parse().unwrap()].into());
}

#[test]
fn where_every_node_carries_for_itself_nothing_moves() {
    for granularity in [Granularity::Cross, Granularity::Full] {
        for mesh in both_sides(&clouds().granularity(granularity)) {
            assert!(mesh.plans().values().all(|plan| plan.firewall.copies.is_empty()));
        }
    }
}

#[test]
fn what_an_outside_peer_sends_is_copied_by_the_node_that_serves_it_meanwhile() {
    let laptop = outside("laptop", 99, &["10.99.0.1/32"]).with(|peer| peer.location = location("a"));
    for mesh in both_sides(&clouds().peer(laptop)) {
        assert!(copies(&mesh, "a2")["a1"].sources.contains(&net("10.99.0.1/32")));
    }
}

#[test]
fn routes_peers_and_guard_do_not_depend_on_who_returns() {
    let mesh = clouds().down(&["a1"]);
    let returning = mesh.clone().returning(&["a1"]).plans();
    for (name, mut plan) in mesh.plans() {
        plan.firewall.copies.clone_from(&returning[&name].firewall.copies);
        assert_eq!(plan, returning[&name], "{name}");
    }
}
