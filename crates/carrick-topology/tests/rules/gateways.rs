//! Which nodes carry a location's traffic.

use carrick_topology::model::{Granularity, Preference};
use carrick_topology::plan::{NextHop, NodePlan, Role};
use carrick_topology::{ObjectName, WarningReason};

use crate::fixtures::*;

fn active(plan: &NodePlan) -> Vec<&str> {
    plan.location.active.iter().map(|name| name.as_str()).collect()
}

fn standby(plan: &NodePlan) -> Vec<&str> {
    plan.location.standby.iter().map(|name| name.as_str()).collect()
}

#[test]
fn the_oldest_node_is_the_gateway_and_the_next_one_is_standby() {
    let plan = mesh([node("a2"), node("a3"), node("a1")]).plan("a3");
    assert_eq!((active(&plan), standby(&plan), plan.location.role), (vec!["a1"], vec!["a2"], Role::Inner));
    assert_eq!(plan.location.gateway, Some("a1".parse().unwrap()));
}

#[test]
fn of_two_of_one_age_the_name_decides() {
    let plan = mesh([node("a2").with(|n| n.created = 5), node("a1").with(|n| n.created = 5)]).plan("a2");
    assert_eq!((active(&plan), standby(&plan)), (vec!["a1"], vec!["a2"]));
}

#[test]
fn a_public_endpoint_ranks_before_age() {
    let plan = mesh([nat_node("a1"), node("a2"), node("a3")]).plan("a1");
    assert_eq!((active(&plan), standby(&plan)), (vec!["a2"], vec!["a3"]));
}

#[test]
fn a_domain_name_counts_as_a_public_endpoint() {
    let named = node("a2").with(|n| n.endpoint = Some("gate.example:51820".parse().unwrap()));
    assert_eq!(active(&mesh([nat_node("a1"), named]).plan("a1")), ["a2"]);
}

#[test]
fn preferred_ranks_before_a_public_endpoint() {
    let plan = mesh([node("a1"), nat_node("a2").with(gateway(Preference::Preferred))]).plan("a1");
    assert_eq!((active(&plan), standby(&plan)), (vec!["a2"], vec!["a1"]));
}

#[test]
fn never_is_neither_active_nor_standby() {
    let plan = mesh([node("a1").with(gateway(Preference::Never)), node("a2")]).plan("a1");
    assert_eq!((active(&plan), standby(&plan), plan.location.role), (vec!["a2"], vec![], Role::Inner));
}

#[test]
fn a_location_whose_nodes_all_have_gateway_never_is_isolated_with_a_warning() {
    let never = || gateway(Preference::Never);
    let mesh = mesh([node("a1").with(never()), node("a2").with(never()), node("b1")]);
    let plan = mesh.plan("a1");
    let object = ObjectName::Location("a".to_owned());
    assert!(plan.warnings.contains(&warning(object, "gateway", "a1,a2", WarningReason::NoGateway)), "{plan:?}");
    assert_eq!(plan.location.gateway, None);
    assert_eq!(next_hop(&plan, "10.42.21.0/24"), Some(&NextHop::Unreachable));
    assert_eq!(next_hop(&plan, "10.42.12.0/24"), Some(&vxlan("10.4.0.12")), "nodes inside still reach each other");
    assert_eq!(next_hop(&mesh.plan("b1"), "10.42.11.0/24"), Some(&NextHop::Unreachable));
}

#[test]
fn in_cross_every_node_is_its_own_gateway_with_any_preference() {
    let mesh = mesh([node("a1").with(gateway(Preference::Never)), node("b1")]).granularity(Granularity::Cross);
    assert_eq!(mesh.plan("a1").location.gateway, Some("a1".parse().unwrap()));
    assert_eq!(next_hop(&mesh.plan("b1"), "10.42.11.0/24"), Some(&NextHop::WireGuard));
}

#[test]
fn several_active_gateways_share_the_nodes_and_are_assigned_to_themselves() {
    let names = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"];
    let mesh = mesh(names.map(node)).active_gateways(2);
    let plans = mesh.plans();
    let mut shares = std::collections::BTreeMap::new();
    for (name, plan) in &plans {
        let gateway = plan.location.gateway.as_ref().unwrap().to_string();
        assert_eq!((active(plan), standby(plan)), (vec!["a1", "a2"], vec!["a3"]));
        if ["a1", "a2", "a3"].contains(&name.as_str()) {
            assert_eq!(&gateway, name);
        } else {
            *shares.entry(gateway).or_insert(0) += 1;
        }
    }
    assert_eq!(shares.into_keys().collect::<Vec<_>>(), ["a1", "a2"]);
}

#[test]
fn every_gateway_keeps_its_own_networks_on_its_own_tunnel() {
    let plan = mesh([node("a1"), node("a2"), node("a3"), node("b1")]).active_gateways(2).plan("b1");
    for (gateway, pods) in [("a1", "10.42.11.0/24"), ("a2", "10.42.12.0/24"), ("a3", "10.42.13.0/24")] {
        assert!(tunnel(&plan, gateway).unwrap().allowed_ips.contains(&net(pods)), "{gateway}: {plan:?}");
    }
}

#[test]
fn a_standby_gateway_holds_the_other_locations_in_its_own_tunnels() {
    let plan = mesh([node("a1"), node("a2"), node("b1"), node("b2"), node("b3")]).plan("a2");
    assert_eq!(plan.location.role, Role::Standby);
    assert_eq!(tunnels(&plan), ["b1", "b2"]);
    assert!(
        tunnel(&plan, "b1").unwrap().allowed_ips.contains(&net("10.42.23.0/24")),
        "inner nodes hang on the active one"
    );
    assert_eq!(next_hop(&plan, "10.42.23.0/24"), Some(&NextHop::WireGuard));
}

#[test]
fn the_first_standby_gateway_replaces_a_dead_one_and_no_further_node_becomes_standby() {
    let plan = mesh([node("a1"), node("a2"), node("a3"), node("a4")]).down(&["a1"]).plan("a4");
    assert_eq!((active(&plan), standby(&plan)), (vec!["a2"], vec![]));
    assert_eq!(plan.location.gateway, Some("a2".parse().unwrap()));
}

#[test]
fn a_dead_standby_gateway_is_not_replaced_and_changes_nothing_for_inner_nodes() {
    let mesh = mesh([node("a1"), node("a2"), node("a3"), node("a4"), node("b1")]);
    let (before, after) = (mesh.plan("b1"), mesh.down(&["a2"]).plan("b1"));
    assert_eq!(before.wireguard.peers.keys().collect::<Vec<_>>(), after.wireguard.peers.keys().collect::<Vec<_>>());
    assert!(tunnel(&after, "a1").unwrap().allowed_ips.contains(&net("10.42.13.0/24")), "{after:?}");
}

#[test]
fn if_all_gateways_of_a_group_are_down_the_next_group_takes_their_places() {
    let mesh = mesh(["a1", "a2", "a3", "a4", "a5", "a6"].map(node));
    let gateways = |down: &[&str]| {
        let plan = mesh.clone().down(down).plan("a6");
        let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let down: Vec<String> = plan.location.down.iter().map(ToString::to_string).collect();
        (names(active(&plan)), names(standby(&plan)), down)
    };
    let expected = |active: &str, standby: &[&str], down: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        (names(&[active]), names(standby), names(down))
    };
    assert_eq!(gateways(&["a1", "a2"]), expected("a3", &["a4"], &["a1", "a2"]));
    assert_eq!(gateways(&["a1", "a2", "a3"]), expected("a4", &[], &["a1", "a2", "a3"]));
    assert_eq!(gateways(&["a1", "a2", "a3", "a4"]), expected("a5", &["a6"], &["a1", "a2", "a3", "a4"]));
    assert_eq!(gateways(&["a1", "a3", "a4"]), expected("a2", &[], &["a1"]), "a3 and a4 are not needed");
}

#[test]
fn a_standby_gateway_takes_exactly_the_share_of_the_dead_gateway() {
    let names = ["a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9"];
    let mesh = mesh(names.map(node)).active_gateways(2);
    let (before, after) = (mesh.plans(), mesh.down(&["a1"]).plans());
    for name in &names[3..] {
        let old = before[*name].location.gateway.as_ref().unwrap().as_str();
        let new = after[*name].location.gateway.as_ref().unwrap().as_str();
        assert_eq!(new, if old == "a1" { "a3" } else { old }, "{name}");
    }
}

#[test]
fn if_all_gateways_are_down_the_first_group_counts_as_live_and_the_others_are_probed() {
    let mesh = mesh(["a1", "a2", "a3", "a4", "b1"].map(node)).down(&["a1", "a2", "a3", "a4"]);
    for name in ["a1", "a4", "b1"] {
        let plan = mesh.plan(name);
        let probed: Vec<&str> = plan.probes.targets.keys().map(|target| target.as_str()).collect();
        let expected = ["a1", "a2", "a3", "a4", "b1"].into_iter().filter(|other| *other != name).collect::<Vec<_>>();
        assert_eq!(probed, expected, "{name}");
    }
    let plan = mesh.plan("a1");
    assert_eq!((active(&plan), standby(&plan)), (vec!["a1"], vec!["a2"]));
    assert_eq!(plan.location.down, ["a3", "a4"].map(|down| down.parse().unwrap()).into());
    assert_eq!(tunnels(&mesh.plan("b1")), ["a1", "a2", "a3", "a4"]);
}

#[test]
fn with_no_standby_gateways_no_node_is_standby() {
    let plan = mesh([node("a1"), node("a2")]).set(|settings| settings.standby_gateways = 0).plan("a2");
    assert_eq!((standby(&plan), plan.location.role), (vec![], Role::Inner));
}

#[test]
fn a_dead_gateway_keeps_its_own_tunnels_so_that_its_return_can_be_seen() {
    let mesh = mesh([node("a1"), node("a2"), node("a3"), node("a4"), node("b1")]).down(&["a1"]);
    let plan = mesh.plan("b1");
    let kept = &tunnel(&plan, "a1").unwrap().allowed_ips;
    assert!(kept.contains(&net("10.4.0.11/32")) && !kept.contains(&net("10.42.14.0/24")), "{kept:?}");
    assert!(tunnel(&plan, "a2").unwrap().allowed_ips.contains(&net("10.42.14.0/24")));
    let own = mesh.plan("a1");
    assert_eq!((own.location.role, own.location.gateway), (Role::Standby, Some("a1".parse().unwrap())));
    assert_eq!(own.location.down, ["a1".parse().unwrap()].into());
}
