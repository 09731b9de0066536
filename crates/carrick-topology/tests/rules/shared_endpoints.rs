//! Endpoints that several nodes publish, and endpoints at a node's own address.

use carrick_topology::WarningReason;
use carrick_topology::model::Node;

use crate::fixtures::*;

fn advertising(name: &str, internal_address: &str, endpoint: &str) -> Node {
    node(name).with(|node| {
        node.internal_addresses = internal(&[internal_address]);
        node.advertised_endpoints = endpoints(&[endpoint]);
    })
}

fn shared(name: &str, field: &str, endpoint: &str, other: &str) -> carrick_topology::Warning {
    warning(node_object(name), field, endpoint, WarningReason::SharedEndpoint(other.parse().unwrap()))
}

fn dialled(mesh: &Mesh, from: &str, to: &str) -> Option<String> {
    tunnel(&mesh.plan(from), to)?.endpoint.map(|endpoint| endpoint.to_string())
}

#[test]
fn an_endpoint_of_two_nodes_is_the_last_choice_and_every_plan_warns_of_it() {
    let others = ["198.51.100.7:51820", "10.0.9.9:51820", "[2001:db8::7]:51820"];
    for (endpoint, other) in ["203.0.113.5:51820", "10.0.2.15:51820", "[2001:db8::5]:51820"].into_iter().zip(others) {
        let with = |name: &str, list: &[&str]| node(name).with(|node| node.advertised_endpoints = endpoints(list));
        let mesh = mesh([with("a1", &[endpoint, other]), with("b1", &[endpoint]), node("c1")]);
        assert_eq!(dialled(&mesh, "c1", "a1").as_deref(), Some(other));
        for node in ["a1", "b1", "c1"] {
            let expected =
                [("a1", "b1"), ("b1", "a1")].map(|(own, other)| shared(own, "advertised-endpoints", endpoint, other));
            assert_eq!(mesh.plan(node).warnings.iter().filter(|w| expected.contains(w)).count(), 2, "{endpoint}");
        }
    }
}

#[test]
fn a_node_makes_no_other_node_unreachable_by_publishing_its_endpoint() {
    let victim = "203.0.113.5:51820";
    let behind_nat = node("c1").with(|node| node.advertised_endpoints = endpoints(&[]));
    let with = |name: &str| node(name).with(|node| node.advertised_endpoints = endpoints(&[victim]));
    for (owner, attacker) in [("a1", "b1"), ("b1", "a1")] {
        let mesh = mesh([with("a1"), with("b1"), behind_nat.clone()]);
        assert_eq!(dialled(&mesh, "c1", owner).as_deref(), Some(victim), "{attacker} publishes it too");
    }
}

#[test]
fn machines_that_all_have_one_address_dial_neither_themselves_nor_each_other() {
    let address = ["a1", "b1", "c1"].map(|name| advertising(name, "10.0.2.15/24", "10.0.2.15:51820"));
    let mesh = mesh(address);
    for (name, plan) in mesh.plans() {
        assert!(plan.wireguard.peers.values().all(|peer| peer.endpoint.is_none()), "{name}");
        let kinds: Vec<_> = plan.warnings.iter().map(|warning| warning.reason.kind()).collect();
        assert!(kinds.contains(&"OverlapsCluster") && kinds.contains(&"NoPath"), "{name}: {kinds:?}");
    }
}

#[test]
fn an_endpoint_that_an_operator_forced_stays_with_its_node() {
    let forced = node("b1").with(|node| node.endpoint = Some("198.51.1.1:51820".parse().unwrap()));
    let with_one = mesh([node("a1").with(|n| n.advertised_endpoints = endpoints(&["198.51.1.1"])), forced.clone()]);
    let with_one = Mesh { cluster: with_one.cluster, ..mesh([]) };
    assert_eq!(dialled(&with_one, "a1", "b1").as_deref(), Some("198.51.1.1:51820"));
    assert_eq!(dialled(&with_one, "b1", "a1").as_deref(), Some("198.51.1.1:51820"), "the only one of a1");
    let expected = shared("a1", "advertised-endpoints", "198.51.1.1:51820", "b1");
    assert_eq!(with_one.plan("b1").warnings, [expected].into());
    let again = node("c1").with(|node| node.endpoint = Some("198.51.1.1:51820".parse().unwrap()));
    let with_two = mesh([node("a1").with(|n| n.advertised_endpoints = endpoints(&["198.51.1.1"])), forced, again]);
    assert!(with_two.plan("a1").warnings.contains(&shared("c1", "endpoint", "198.51.1.1:51820", "a1")));
}

#[test]
fn a_node_does_not_dial_its_own_address() {
    for (own, endpoint) in [
        ("192.168.1.10/24", "192.168.1.10:51820"),
        ("192.168.1.10/24", "192.168.1.10:51999"),
        ("fd00::10/64", "[fd00::10]:51820"),
    ] {
        let home = node("a1").with(|node| {
            node.internal_addresses = internal(&[own]);
            node.persistent_keepalive = Some(25);
            node.advertised_endpoints = endpoints(&[]);
        });
        // An advertised endpoint at the internal address of another node does not count at all.
        let other = node("b1").with(|node| node.endpoint = Some(endpoint.parse().unwrap()));
        let mesh = mesh([home, other, node("c1")]);
        assert_eq!(dialled(&mesh, "a1", "b1"), None, "{endpoint}");
        assert_eq!(dialled(&mesh, "c1", "b1").as_deref(), Some(endpoint), "another node may reach it there");
        let expected =
            warning(node_object("b1"), "endpoint", endpoint, WarningReason::OwnAddress("a1".parse().unwrap()));
        assert!(mesh.plan("a1").warnings.contains(&expected), "{:?}", mesh.plan("a1").warnings);
        assert!(!mesh.plan("c1").warnings.contains(&expected));
    }
}
