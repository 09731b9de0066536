//! Routing rules of other programs before those of Carrick, and other facts of one host that its plan warns of.

use carrick_topology::model::{PrecedingRule, Settings};
use carrick_topology::{Warning, WarningReason};

use crate::fixtures::*;

/// The host of this node has this rule.
fn rule(source: Option<&str>, destinations: &[&str]) -> impl FnOnce(&mut Settings) {
    let rule = PrecedingRule {
        priority: 100,
        text: "from all lookup 200".to_owned(),
        source: source.map(net),
        destinations: nets(destinations),
    };
    move |settings| settings.local.preceding_rules = [rule].into()
}

fn taken(network: &str, others: usize) -> Warning {
    let reason = WarningReason::RuleBefore { network: net(network), others };
    warning(node_object("a1"), "rule", "100: from all lookup 200", reason)
}

#[test]
fn a_rule_that_takes_packets_of_the_mesh_is_reported() {
    let others = ["10.42.21.0/24", "10.4.0.21/32", "192.168.2.1/32"];
    for (source, destinations, expected) in [
        (None, &["10.42.21.64/26"][..], taken(others[0], 0)),
        (None, &["10.42.20.0/22"], taken(others[0], 0)),
        (Some("10.42.11.0/24"), &["192.168.2.0/24"], taken(others[2], 0)),
        (Some("10.4.0.0/16"), &["10.4.0.21/32", "10.42.21.7/32"], taken(others[1], 1)),
        (Some("192.168.1.1/32"), &["10.4.0.21/32"], taken(others[1], 0)),
    ] {
        let mesh = mesh([node("a1"), node("b1")]).set(rule(source, destinations));
        assert_eq!(mesh.plan("a1").warnings, [expected].into(), "{source:?} {destinations:?}");
    }
    let all = mesh([node("a1"), node("b1")]).set(rule(None, &["0.0.0.0/0", "::/0"])).plan("a1");
    assert_eq!(all.warnings.len(), 1);
    let text = all.warnings.first().unwrap().to_string();
    assert!(text.contains("other networks of the mesh") && text.contains("a priority above 1107"), "{text}");
}

#[test]
fn a_rule_that_takes_no_packet_of_the_mesh_is_not_reported() {
    for (source, destinations) in [
        (None, &["172.20.0.0/16"][..]),
        (None, &[]),
        (Some("172.17.0.0/16"), &["0.0.0.0/0"]),
        // This node's own pods and the location's network.
        (None, &["10.42.11.0/24", "192.168.1.0/24"]),
    ] {
        let plan = mesh([node("a1"), node("b1")]).set(rule(source, destinations)).plan("a1");
        assert!(plan.warnings.is_empty(), "{source:?} {destinations:?}: {:?}", plan.warnings);
    }
    // A network of the host that the mesh leaves to it is reported as such.
    let attached = mesh([node("a1"), node("b1")])
        .set(|settings| settings.local.networks = [(net("10.42.21.64/26"), "tun0".parse().unwrap())].into())
        .set(rule(None, &["10.42.21.64/26"]));
    let kinds: Vec<&str> = attached.plan("a1").warnings.iter().map(|warning| warning.reason.kind()).collect();
    assert_eq!(kinds, ["OverlapsOwnSubnet"]);
}

#[test]
fn a_missing_location_is_reported_where_nodes_may_share_no_network() {
    let unlabelled = |name: &str| node(name).with(|node| node.location = None);
    let outside: fn(&mut Settings) = |settings| {
        settings.local.internet_neighbours = [("192.168.1.2".parse().unwrap(), "eth0".parse().unwrap())].into()
    };
    let stray: fn(&mut Settings) =
        |settings| settings.local.stray_neighbours = [("192.168.1.2".parse().unwrap(), "pub0".parse().unwrap())].into();
    let missing = |plan: &carrick_topology::NodePlan| {
        let found = plan.warnings.iter().filter(|warning| warning.reason.kind() == "LocationMissing");
        found.map(ToString::to_string).collect::<Vec<_>>()
    };
    for apart in [outside, stray] {
        let plan = mesh([unlabelled("a1"), unlabelled("a2")]).set(apart).plan("a1");
        let [text] = missing(&plan).try_into().unwrap();
        assert!(text.starts_with("node `a1`: location") && text.contains("topology.kubernetes.io/region"), "{text}");
        assert_eq!(plan.warnings.len(), 2, "and where packets go: {:?}", plan.warnings);
        assert!(
            missing(&mesh([node("a1"), node("a2")]).set(apart).plan("a1")).is_empty(),
            "the location is a person's"
        );
    }
    assert!(missing(&mesh([unlabelled("a1"), unlabelled("a2")]).plan("a1")).is_empty(), "one network");
}

#[test]
fn a_variable_without_an_effect_is_reported_on_its_node() {
    let misspelt = ("CARRICK_GATWAYS".to_owned(), "CARRICK_ACTIVE_GATEWAYS".to_owned());
    let mesh = mesh([node("a1"), node("b1")]).set(|settings| settings.local.unknown_variables = [misspelt].into());
    let reason = WarningReason::UnknownVariable("CARRICK_ACTIVE_GATEWAYS".to_owned());
    let expected = warning(node_object("a1"), "environment", "CARRICK_GATWAYS", reason);
    assert_eq!(mesh.plan("a1").warnings, [expected].into());
}
