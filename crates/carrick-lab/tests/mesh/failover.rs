//! A gateway that fails: its standby carries the traffic of its location.

use carrick_lab::address::Family;
use carrick_lab::failure::Failure;
use carrick_lab::flow::Flow;
use carrick_lab::wait;

use crate::mesh::Mesh;

/// Two clouds; in one of them a gateway, its standby, and a node that needs one of them.
pub(crate) const GATEWAYS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// The gateways that are down according to a node.
pub(crate) fn down(mesh: &Mesh, node: &str) -> Vec<String> {
    serde_json::from_value(mesh.status(node)["liveness"]["down"].clone()).unwrap()
}

pub(crate) fn await_down(mesh: &Mesh, nodes: &[&str], wanted: &[&str]) {
    for node in nodes {
        wait::until(&format!("{node} to say that {wanted:?} are down"), || {
            Ok((down(mesh, node) == wanted).then_some(()))
        })
        .unwrap();
    }
}

/// Waits until every probed path is up.
pub(crate) fn await_paths(mesh: &Mesh) {
    for node in mesh.nodes() {
        wait::until("paths that are up", || {
            let paths = mesh.status(node.name())["paths"].as_array().cloned().unwrap_or_default();
            let up = paths.iter().filter(|path| path["state"] == "up").count();
            Ok((!paths.is_empty() && up == paths.len()).then_some(()))
        })
        .unwrap();
    }
}

fn survives(failure: Failure) {
    let mut mesh = Mesh::up(GATEWAYS);
    mesh.all_reach();
    await_paths(&mesh);
    let flows = [
        mesh.flow("a3-pod1", "b1-pod1", Family::V4),
        mesh.flow("a3-pod1", "b2-pod1", Family::V6),
        mesh.flow("b2-pod1", "a3-pod1", Family::V4),
    ];
    Flow::await_answers_of_all(&flows, 10).unwrap();
    failure.inject(&mut mesh, "a1").unwrap();
    // The gateway stays dead, and the answers go on.
    await_down(&mesh, &["a2", "a3", "b1", "b2"], &["a1"]);
    Flow::await_answers_of_all(&flows, 200).unwrap();
    assert_eq!(gateways(&mesh, "a3"), (vec!["a2".to_owned()], vec!["a1".to_owned()]));

    failure.undo(&mut mesh, "a1").unwrap();
    await_down(&mesh, &["a2", "a3", "b1", "b2"], &[]);
    Flow::await_answers_of_all(&flows, 200).unwrap();
    assert_eq!(gateways(&mesh, "a3"), (vec!["a1".to_owned()], vec![]));
    mesh.all_endpoints_reach_each_other();
}

/// The active gateways of a node's location and those that are down, as its plan has them.
pub(crate) fn gateways(mesh: &Mesh, node: &str) -> (Vec<String>, Vec<String>) {
    let location = mesh.status(node)["plan"]["location"].clone();
    let names = |list: &str| serde_json::from_value(location[list].clone()).unwrap();
    (names("active"), names("down"))
}

#[test]
fn a_gateway_that_is_cut_off() {
    survives(Failure::CutOff);
}

#[test]
fn a_gateway_without_power() {
    survives(Failure::PowerOff);
}

#[test]
fn a_restarted_agent_remembers_who_is_down() {
    let mut mesh = Mesh::up(GATEWAYS);
    mesh.all_reach();
    await_paths(&mesh);
    Failure::CutOff.inject(&mut mesh, "a1").unwrap();
    await_down(&mesh, &["a3", "b1"], &["a1"]);
    let flow = mesh.flow("a3-pod1", "b1-pod1", Family::V4);
    for node in ["a3", "b1"] {
        mesh.node(node).unwrap().kill_agent().unwrap();
        mesh.node(node).unwrap().start_agent().unwrap();
        mesh.node(node).unwrap().await_agent().unwrap();
        flow.await_answers(200).unwrap();
    }
    let report = flow.stop().unwrap();
    assert!(report.lost.is_empty(), "{report:?}");
    assert_eq!(down(&mesh, "b1"), ["a1"]);
}

#[test]
fn agents_that_restart_are_no_dead_gateways() {
    let mesh = Mesh::up(GATEWAYS);
    mesh.all_reach();
    await_paths(&mesh);
    let flow = mesh.flow("a3-pod1", "b2-pod1", Family::V4);
    for node in ["a1", "b1"] {
        mesh.node(node).unwrap().kill_agent().unwrap();
        // Long enough for three probes to be missed, were silence all that is heard.
        flow.await_answers(300).unwrap();
        for observer in ["a2", "a3", "b2"] {
            assert_eq!(down(&mesh, observer), [""; 0], "{observer}");
        }
        mesh.node(node).unwrap().start_agent().unwrap();
        mesh.node(node).unwrap().await_agent().unwrap();
    }
    let report = flow.stop().unwrap();
    assert!(report.lost.is_empty(), "{report:?}");
}

#[test]
fn a_killed_wireguard_process_is_survived() {
    let mut mesh = Mesh::up(GATEWAYS);
    mesh.all_reach();
    await_paths(&mesh);
    let flow = mesh.flow("a3-pod1", "b1-pod1", Family::V4);
    Failure::WireGuardKilled.inject(&mut mesh, "a1").unwrap();
    flow.await_answers(300).unwrap();
    mesh.all_endpoints_reach_each_other();
}
