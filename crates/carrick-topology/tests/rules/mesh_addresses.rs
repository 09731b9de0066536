//! Nodes keep their mesh addresses.

use std::collections::BTreeSet;

use carrick_topology::mesh_address::choose_mesh_addresses;

use crate::fixtures::*;

fn chosen(mesh: &Mesh, name: &str) -> BTreeSet<std::net::IpAddr> {
    choose_mesh_addresses(&mesh.cluster, &mesh.settings.mesh_cidrs, &name.parse().unwrap())
}

#[test]
fn addresses_do_not_change_when_other_nodes_join_or_leave() {
    let all = mesh([node("a1"), node("a2"), node("b1"), node("b2")]);
    let some = mesh([node("a2"), node("b2")]);
    for name in ["a2", "b2"] {
        assert_eq!(all.plan(name).mesh_addresses, some.plan(name).mesh_addresses);
        assert_eq!(chosen(&all, name), node(name).mesh_addresses);
        assert_eq!(chosen(&some, name), node(name).mesh_addresses);
    }
}

#[test]
fn the_first_position_of_a_node_does_not_depend_on_other_nodes() {
    let new = node("c1").with(|n| n.mesh_addresses = BTreeSet::new());
    let alone = mesh([new.clone()]);
    let among_others = mesh([node("a1"), node("a2"), node("b1"), new]);
    assert_eq!(chosen(&alone, "c1"), chosen(&among_others, "c1"));
    assert_eq!(chosen(&alone, "c1").len(), 2);
}

#[test]
fn of_two_nodes_that_chose_the_same_address_the_older_keeps_it() {
    let same = node("a1").mesh_addresses;
    let mesh = mesh([node("a1"), node("b1").with(|n| n.mesh_addresses = same.clone())]);
    assert_eq!(chosen(&mesh, "a1"), same);
    assert!(chosen(&mesh, "b1").is_disjoint(&same));
}

#[test]
fn both_devices_carry_them_in_every_granularity() {
    use carrick_topology::model::Granularity;
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        let plan = mesh([node("a1"), node("b1")]).granularity(granularity).plan("a1");
        assert_eq!(plan.mesh_addresses, node("a1").mesh_addresses);
        assert_eq!(plan.firewall.mesh_addresses, plan.mesh_addresses);
    }
}
