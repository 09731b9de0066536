//! The plan while agents of two protocols run: all of them must compute the same.

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

#[test]
fn a_gateway_drains_once_all_members_know_drains() {
    let drains = |node: &mut Node| node.duty = Duty::Draining;
    let duty = |mesh: &Mesh| mesh.plan("a1").probes.duty;
    let new = all_speak(4).change("a1", drains);
    assert_eq!((duty(&new), duty(&all_speak(4))), (Duty::Draining, Duty::Serving));
    for old in NODES {
        assert_eq!(duty(&new.clone().change(old, speaks(3))), Duty::Serving, "{old} is old");
        let no_member = new.clone().change(old, speaks(3)).change(old, |node| node.public_key = None);
        if old != "a1" {
            assert_eq!(duty(&no_member), Duty::Draining, "{old} is old, and no member");
        }
    }
    assert_eq!(duty(&new.clone().change("b1", |node| node.agent = None)), Duty::Draining, "an unreadable protocol");
    assert_eq!(duty(&new.change("b1", speaks(9))), Duty::Draining);
}
