//! Which nodes probe which.

use std::net::IpAddr;

use carrick_topology::NodePlan;
use carrick_topology::model::Granularity;
use carrick_topology::plan::PathKind;

use crate::fixtures::*;

fn targets(plan: &NodePlan) -> Vec<(&str, PathKind, String)> {
    plan.probes.targets.iter().map(|(name, target)| (name.as_str(), target.kind, target.to.to_string())).collect()
}

fn clouds() -> Mesh {
    mesh(["a1", "a2", "a3", "a4", "b1", "b2", "b3"].map(node))
}

#[test]
fn inner_nodes_probe_the_gateways_of_their_location() {
    let plan = clouds().plan("a4");
    let inside = |name, address: &str| (name, PathKind::Inside, address.to_owned());
    assert_eq!(targets(&plan), [inside("a1", "192.168.1.1"), inside("a2", "192.168.1.2")]);
    assert_eq!(plan.probes.location_size, 4);
}

#[test]
fn gateways_probe_each_other_and_those_of_other_locations() {
    for gateway in ["a1", "a2"] {
        let plan = clouds().plan(gateway);
        let names: Vec<_> = targets(&plan).into_iter().map(|(name, kind, _)| (name, kind)).collect();
        let other = if gateway == "a1" { "a2" } else { "a1" };
        assert_eq!(names, [(other, PathKind::Inside), ("b1", PathKind::Tunnel), ("b2", PathKind::Tunnel)]);
        assert_eq!(targets(&plan)[1].2, "10.4.0.21");
    }
}

#[test]
fn a_dead_gateway_is_still_probed() {
    let probed = |down: &[&str]| -> Vec<String> {
        targets(&clouds().down(down).plan("a1")).into_iter().map(|(name, ..)| name.to_owned()).collect()
    };
    assert_eq!(probed(&["b1"]), ["a2", "b1", "b2"]);
    assert_eq!(probed(&["b1", "b2"]), ["a2", "b1", "b2", "b3"], "b3 is the gateway now");
}

#[test]
fn in_cross_and_full_every_node_probes_all_others() {
    let cross = clouds().granularity(Granularity::Cross).plan("a4");
    assert_eq!(targets(&cross).iter().filter(|(_, kind, _)| *kind == PathKind::Tunnel).count(), 3);
    assert_eq!(targets(&cross).len(), 6);
    let full = clouds().granularity(Granularity::Full).plan("a4");
    assert_eq!(targets(&full).iter().filter(|(_, kind, _)| *kind == PathKind::Tunnel).count(), 6);
}

/// The keys by which a node recognises probes are those of the members that keep an address, as in the routes.
#[test]
fn a_claimed_mesh_address_has_the_key_of_the_node_that_keeps_it() {
    let mut thief = node("a1");
    let victim = node("b1");
    thief.mesh_addresses.extend(victim.mesh_addresses.iter().copied());
    let mut clone = node("a3");
    clone.public_key = node("a2").public_key;
    clone.mesh_addresses.clone_from(&node("b2").mesh_addresses);
    let mesh = mesh([thief, node("a2"), clone, victim, node("b2"), node("c1")]);
    let members = mesh.plan("c1").probes.members;
    let owners = |address: IpAddr| {
        members
            .iter()
            .filter(move |(_, member)| member.mesh_addresses.contains(&address))
            .map(|(name, _)| name.as_str())
    };
    for name in ["b1", "b2"] {
        let node = node(name);
        for address in &node.mesh_addresses {
            assert_eq!(owners(*address).collect::<Vec<_>>(), [name], "{address}");
        }
        assert_eq!(members[name].public_key, node.public_key.unwrap());
    }
    assert!(!members.contains_key("a3"), "its key is that of an older node");
}
