//! Which nodes form a location.

use carrick_topology::Family;
use carrick_topology::WarningReason;
use carrick_topology::model::InternalAddresses;
use carrick_topology::plan::NextHop;

use crate::fixtures::*;

#[test]
fn nodes_without_a_location_share_the_default_one() {
    let mesh = mesh([node("a1").with(|n| n.location = None), node("b1").with(|n| n.location = None)]);
    let plan = mesh.plan("a1");
    assert_eq!(plan.location.name.as_str(), "default");
    assert_eq!(next_hop(&plan, "10.42.21.0/24"), Some(&vxlan("10.4.0.21")));
    assert!(tunnels(&plan).is_empty());
}

#[test]
fn a_node_named_into_default_joins_those_without_a_location() {
    let named = node("b1").with(|n| n.location = location("default"));
    let mesh = mesh([node("a1").with(|n| n.location = None), named]);
    assert!(tunnels(&mesh.plan("a1")).is_empty());
}

#[test]
fn a_node_without_internal_address_is_alone_and_is_reached_through_tunnels() {
    let alone = node("a2").with(|n| n.internal_addresses = InternalAddresses::None);
    let mesh = mesh([node("a1"), alone, node("a3")]);
    let plan = mesh.plan("a2");
    assert!(plan.location.alone);
    assert_eq!((tunnels(&plan), plan.vxlan.neighbours.len()), (vec!["a1".to_owned(), "a3".to_owned()], 0));
    assert!(plan.warnings.is_empty(), "people wanted it so");
    let other = mesh.plan("a1");
    assert!(!other.location.alone);
    assert_eq!(next_hop(&other, "10.42.12.0/24"), Some(&NextHop::WireGuard));
    assert_eq!(next_hop(&other, "10.42.13.0/24"), Some(&vxlan("10.4.0.13")));
}

#[test]
fn nodes_without_the_family_that_most_nodes_have_are_alone() {
    let v4 = |name: &str, address: &str| node(name).with(|n| n.internal_addresses = internal(&[address]));
    let v6 = |name: &str, address: &str| node(name).with(|n| n.internal_addresses = internal(&[address]));
    let mesh = mesh([v4("a1", "192.168.1.1/24"), v6("a2", "fd99:0:0:1::2/64"), v6("a3", "fd99:0:0:1::3/64")]);
    let (odd, most) = (mesh.plan("a1"), mesh.plan("a2"));
    assert!(odd.location.alone && !most.location.alone);
    assert_eq!(most.vxlan.underlay, Family::V6);
    assert_eq!(most.vxlan.neighbours.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["a3"]);
    let expected =
        warning(node_object("a1"), "internal-addresses", "192.168.1.1/24", WarningReason::ForeignUnderlayFamily);
    assert!(most.warnings.contains(&expected), "{:?}", most.warnings);
}

#[test]
fn where_both_families_have_as_many_ipv4_joins_the_location() {
    let plan = mesh([node("a1"), node("a2")]).plan("a1");
    assert_eq!(plan.vxlan.underlay, Family::V4);
    assert_eq!(plan.vxlan.neighbours.values().next().unwrap().internal_address.to_string(), "192.168.1.2");
}

#[test]
fn locations_of_one_family_each_still_carry_both() {
    let v6 = |name: &str, host: u8| {
        node(name).with(|n| n.internal_addresses = internal(&[&format!("fd99:0:0:2::{host}/64")]))
    };
    let mesh = mesh([node("a1"), v6("b1", 1), v6("b2", 2), v6("b3", 3)]);
    let walk = mesh.walk("a1", "10.42.11.9", "10.42.23.9");
    assert!(walk.arrives(), "{walk:?}");
    assert_eq!(mesh.plan("b3").vxlan.underlay, Family::V6);
}

#[test]
fn a_node_without_a_key_is_no_member() {
    let mesh = mesh([node("a1"), node("a2").with(|n| n.public_key = None)]);
    let error =
        carrick_topology::plan(&mesh.cluster, &mesh.settings, &mesh.liveness, &"a2".parse().unwrap()).unwrap_err();
    assert_eq!(error, carrick_topology::PlanError::NoPublicKey("a2".parse().unwrap()));
    assert_eq!(next_hop(&mesh.plan("a1"), "10.42.12.0/24"), Some(&NextHop::Unreachable));
}

#[test]
fn a_node_whose_key_does_not_count_is_no_member_and_the_true_reason_is_told() {
    let of = |mesh: &Mesh, name: &str| {
        carrick_topology::plan(&mesh.cluster, &mesh.settings, &mesh.liveness, &name.parse().unwrap())
            .unwrap_err()
            .to_string()
    };
    let (key, proof) = (node("a1").public_key, format!("{}==", "A".repeat(86)).parse().ok());
    let clone = || node("a2").with(|n| n.public_key = key);

    let cloned = of(&mesh([node("a1"), clone()]), "a2");
    assert!(
        cloned.contains("its public key is claimed by node `a1`, which is older. If the machine was cloned"),
        "{cloned}"
    );

    let younger = mesh([node("a1"), clone().with(|n| n.public_key_proof = proof)]);
    let proved = of(&younger, "a1");
    assert!(proved.contains("is claimed by node `a2`, which proves that it holds the private key"), "{proved}");
    assert!(!proved.contains("older"), "{proved}");

    let mut unreadable = mesh([node("a1"), node("a2").with(|n| n.public_key = None)]);
    let reason = WarningReason::Unreadable("a WireGuard key has 44 characters".to_owned());
    assert!(unreadable.cluster.warnings.insert(warning(node_object("a2"), "public-key", "c2hvcnQ=", reason)));
    let garbled = of(&unreadable, "a2");
    assert!(garbled.contains("its public key cannot be parsed: a WireGuard key has 44 characters"), "{garbled}");

    let empty = of(&mesh([node("a1"), node("a2").with(|n| n.public_key = None)]), "a2");
    assert!(empty.contains("its agent has not published a public key"), "{empty}");
}
