//! What counts as an internal address. Ignored values are in `warnings`.

use carrick_topology::WarningReason;
use carrick_topology::model::InternalAddresses;

use crate::fixtures::*;

fn is_alone(mesh: &Mesh, name: &str) -> bool {
    mesh.plan(name).location.alone
}

fn public(addresses: InternalAddresses) -> Mesh {
    mesh([node("a1"), node("a2").with(|n| n.internal_addresses = addresses)])
}

#[test]
fn a_public_address_counts_as_internal_only_if_the_operator_sets_it() {
    let found = public(internal(&["198.51.1.2/24"]));
    assert!(is_alone(&found, "a2"));
    let expected = warning(
        node_object("a2"),
        "advertised-internal-addresses",
        "198.51.1.2/24",
        WarningReason::PublicInternalAddress,
    );
    assert!(found.plan("a1").warnings.contains(&expected));
    assert!(!is_alone(&found.set(|settings| settings.internal_cidrs = nets(&["198.51.0.0/16"])), "a2"));
}

#[test]
fn a_public_address_of_the_annotation_counts_only_in_a_permitted_or_internal_cidr() {
    let forced = public(InternalAddresses::Forced(nets(&["198.51.1.2/24"])));
    assert!(is_alone(&forced, "a2"));
    let reason = WarningReason::OutsidePermittedCidrs;
    let expected = warning(node_object("a2"), "internal-addresses", "198.51.1.2/24", reason);
    assert_eq!(forced.plan("a1").warnings, [expected].into());
    let permitted = forced.clone().set(|settings| settings.permitted_location_cidrs = nets(&["198.51.0.0/16"]));
    assert!(!is_alone(&permitted, "a2"));
    assert!(!is_alone(&forced.set(|settings| settings.internal_cidrs = nets(&["198.51.0.0/16"])), "a2"));
    let private = public(InternalAddresses::Forced(nets(&["192.168.1.2/24"])));
    let private = private.set(|settings| settings.permitted_location_cidrs.clear());
    assert!(!is_alone(&private, "a2"), "a private address needs no permission");
}

#[test]
fn a_link_local_address_is_never_internal() {
    for address in ["169.254.169.254/16", "fe80::2/64"] {
        for (field, addresses) in [
            ("internal-addresses", InternalAddresses::Forced(nets(&[address]))),
            ("advertised-internal-addresses", internal(&[address])),
        ] {
            let mesh = public(addresses).set(|settings| {
                settings.permitted_location_cidrs = nets(&["0.0.0.0/0", "::/0"]);
                settings.internal_cidrs = nets(&["0.0.0.0/0", "::/0"]);
            });
            assert!(is_alone(&mesh, "a2"), "{address}");
            let expected = warning(node_object("a2"), field, address, WarningReason::LinkLocalInternalAddress);
            assert!(mesh.plan("a1").warnings.contains(&expected), "{field} {address}");
        }
    }
}

#[test]
fn an_address_outside_of_the_internal_cidrs_of_the_mesh_does_not_count() {
    // 192.168.66.53 is an address that no node has: a node that claims it would attract the packets of other locations to it.
    for (field, addresses) in [
        ("internal-addresses", InternalAddresses::Forced(nets(&["192.168.66.53/32"]))),
        ("advertised-internal-addresses", internal(&["192.168.66.53/32"])),
    ] {
        let found = mesh([node("a1"), node("b1"), node("b2").with(|n| n.internal_addresses = addresses)]);
        let attracted = net("192.168.66.53/32");
        let attracts = |mesh: &Mesh| mesh.plan("a1").routes.iter().any(|route| route.destination == attracted);
        assert!(attracts(&found), "{field}");
        let bounded = found.set(|settings| settings.internal_address_bounds = Some(nets(&["192.168.0.0/18"])));
        assert!(!attracts(&bounded) && is_alone(&bounded, "b2"), "{field}");
        let expected = warning(node_object("b2"), field, "192.168.66.53/32", WarningReason::OutsideInternalCidrs);
        for name in ["a1", "b1", "b2"] {
            assert!(bounded.plan(name).warnings.contains(&expected), "{name} {field}");
        }
    }
}

#[test]
fn carrier_grade_nat_addresses_are_not_public() {
    assert!(!is_alone(&public(internal(&["100.64.1.2/24"])), "a2"));
    assert!(is_alone(&public(internal(&["100.128.1.2/24"])), "a2"));
}

#[test]
fn internal_addresses_none_makes_a_node_alone() {
    assert!(is_alone(&public(InternalAddresses::None), "a2"));
}

#[test]
fn of_two_claims_the_one_of_the_older_node_counts() {
    let mesh =
        mesh([node("a1"), node("b1"), node("b2").with(|n| n.internal_addresses = internal(&["192.168.1.1/24"]))]);
    assert!(is_alone(&mesh, "b2") && !is_alone(&mesh, "b1"));
    assert!(mesh.plan("b1").routes.iter().any(|route| route.destination == net("192.168.1.1/32")));
    let elder = mesh.change("b2", |n| n.created = 0);
    assert!(!is_alone(&elder, "b2"));
}

#[test]
fn a_node_may_name_one_address_twice() {
    let twice = node("a2").with(|n| n.internal_addresses = internal(&["192.168.1.2/24", "192.168.1.2/32"]));
    let plan = mesh([node("a1"), twice]).plan("a1");
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
}
