//! Another program flushes the routes to pods on a node with a running agent.
#![expect(clippy::unwrap_used, reason = "a failed expectation ends the test")]

use carrick_lab::address::Family;
use carrick_lab::node::Node;
use carrick_lab::{Lab, Topology, wait};

fn pod_routes(node: &Node) -> Vec<String> {
    let show = |family| node.exec(&["ip", family, "route", "show", "proto", "108"]).unwrap();
    ["-4", "-6"].map(show).iter().flat_map(|text| text.lines()).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_agent_restores_flushed_routes_to_pods() {
    let topology = Topology::parse("locations: [{name: a, nodes: [{name: a1, pods: 2}]}]").unwrap();
    let lab = Lab::up(&topology).unwrap();
    let node = lab.node("a1").unwrap();
    let before = pod_routes(node);
    assert_eq!(before.len(), 4, "two pods in {:?}: {before:?}", [Family::V4, Family::V6]);

    for family in ["-4", "-6"] {
        node.exec(&["ip", family, "route", "flush", "proto", "108"]).unwrap();
        wait::until("the routes to the pods", || {
            node.check_agent()?;
            Ok((pod_routes(node) == before).then_some(()))
        })
        .unwrap();
    }
    let log = std::fs::read_to_string(node.agent_log()).unwrap();
    assert!(log.contains("pod_routes_restored"), "{log}");
    assert!(!log.contains("pod_routes_not_restored"), "{log}");
}
