//! The plan while agents of two protocols run: all of them must compute the same.

use carrick_topology::WarningReason;
use carrick_topology::model::{AgentVersion, Duty, Node};

use crate::fixtures::*;

fn speaks(protocol: u32) -> impl Fn(&mut Node) {
    move |node| {
        node.agent = Some(AgentVersion {
            version: "1".to_owned(),
            protocol,
            settings: String::new(),
            outside_mesh: Default::default(),
        })
    }
}

const NODES: [&str; 4] = ["a1", "a2", "a3", "b1"];

fn all_speak(protocol: u32) -> Mesh {
    mesh(NODES.iter().map(|name| node(name).with(speaks(protocol))))
}

#[test]
fn the_protocol_that_one_node_publishes_moves_no_gateway() {
    for protocol in [0, 1, 2, 3, 5, u32::MAX] {
        for down in [&[][..], &["a1"], &["a1", "a2"]] {
            let usual = all_speak(4).down(down);
            let mixed = all_speak(4).change("b1", speaks(protocol)).down(down);
            for name in NODES {
                assert_eq!(mixed.plan(name).location, usual.plan(name).location, "{protocol}, {down:?}, {name}");
            }
        }
    }
}

fn drains(node: &mut Node) {
    node.duty = Duty::Draining;
}

/// The duty of gateway `a1`, and the nodes that its plan blames.
fn duty(mesh: &Mesh) -> (Duty, Vec<String>) {
    let plan = mesh.plan("a1");
    let is_blame = |reason: &WarningReason| *reason == WarningReason::PreventsDrain("a1".parse().unwrap());
    let blamed = plan.warnings.iter().filter(|warning| is_blame(&warning.reason));
    (plan.probes.duty, blamed.map(|warning| format!("{} {}", warning.object, warning.value)).collect())
}

#[test]
fn a_gateway_drains_once_all_nodes_that_send_by_it_know_drains() {
    let new = all_speak(4).change("a1", drains);
    assert_eq!(duty(&new), (Duty::Draining, vec![]));
    assert_eq!(duty(&all_speak(4)), (Duty::Serving, vec![]));
    assert_eq!(duty(&all_speak(3)), (Duty::Serving, vec![]), "without a drain, there is nothing to warn of");
    for old in NODES {
        let blamed = vec![format!("node `{old}` protocol=3")];
        assert_eq!(duty(&new.clone().change(old, speaks(3))), (Duty::Serving, blamed), "{old} is old");
        let no_member = new.clone().change(old, speaks(3)).change(old, |node| node.public_key = None);
        if old != "a1" {
            assert_eq!(duty(&no_member), (Duty::Draining, vec![]), "{old} is old, and no member");
        }
    }
    let unreadable = new.clone().change("b1", |node| node.agent = None);
    assert_eq!(duty(&unreadable), (Duty::Draining, vec![]), "an unreadable protocol");
    assert_eq!(duty(&new.change("b1", speaks(9))), (Duty::Draining, vec![]));
}

#[test]
fn a_node_behind_a_gateway_of_another_location_keeps_no_gateway_from_draining() {
    // Active and standby gateways are `b1` and `b2`.
    let names = ["a1", "a2", "a3", "b1", "b2", "b3", "b4"];
    let new = mesh(names.iter().map(|name| node(name).with(speaks(4)))).change("a1", drains);
    for unrelated in ["b3", "b4"] {
        let mixed = new.clone().change(unrelated, speaks(3));
        assert_eq!(mixed.plan("a1").probes.duty, Duty::Draining, "{unrelated} is old");
        assert_eq!(mixed.plan("a1").warnings, new.plan("a1").warnings, "{unrelated} is old");
    }
    for gateway in ["b1", "b2"] {
        let blamed = vec![format!("node `{gateway}` protocol=3")];
        assert_eq!(duty(&new.clone().change(gateway, speaks(3))), (Duty::Serving, blamed));
    }
}

#[test]
fn the_plan_of_a_gateway_that_does_not_drain_names_a_few_of_the_nodes_that_prevent_it() {
    let names: Vec<String> = (1..=9).map(|number| format!("a{number}")).chain(["b1".to_owned()]).collect();
    let old = mesh(names.iter().map(|name| node(name).with(speaks(3)))).change("a1", drains);
    let (duty, blamed) = duty(&old);
    assert_eq!((duty, blamed.len()), (Duty::Serving, 8));
}
