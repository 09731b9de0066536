//! A gateway that fails: its standby carries the traffic of its location, and gives it back.

use carrick_lab::address::Family;
use carrick_lab::failure::Failure;
use carrick_lab::wait;

use crate::mesh::Mesh;

/// Two clouds; in one of them a gateway, its standby, and a node that needs one of them.
const GATEWAYS: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}]}
  - {name: b, nodes: [{name: b1}, {name: b2}]}
";

/// What a node says of the gateways that are down.
fn down(mesh: &Mesh, node: &str) -> Vec<String> {
    serde_json::from_value(mesh.status(node)["liveness"]["down"].clone()).unwrap()
}

fn await_down(mesh: &Mesh, nodes: &[&str], wanted: &[&str]) {
    for node in nodes {
        wait::until(&format!("{node} to say that {wanted:?} are down"), || {
            Ok((down(mesh, node) == wanted).then_some(()))
        })
        .unwrap();
    }
}

/// Waits until every probed path is up.
fn await_paths(mesh: &Mesh) {
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
    let flows = ["b1-pod1", "b2-pod1"].map(|to| mesh.flow("a3-pod1", to, Family::V4));
    let back = mesh.flow("b2-pod1", "a3-pod1", Family::V6);
    flows[0].await_answers(100).unwrap();

    failure.inflict(&mut mesh, "a1").unwrap();
    await_down(&mesh, &["a2", "a3", "b1", "b2"], &["a1"]);
    for flow in flows.iter().chain([&back]) {
        flow.await_answers(200).unwrap();
    }
    for flow in flows.into_iter().chain([back]) {
        println!("{failure:?}: {:?}", flow.stop().unwrap());
    }

    let flows = ["b1-pod1", "b2-pod1"].map(|to| mesh.flow("a3-pod1", to, Family::V4));
    let back = mesh.flow("b2-pod1", "a3-pod1", Family::V6);
    failure.undo(&mut mesh, "a1").unwrap();
    await_down(&mesh, &["a2", "a3", "b1", "b2"], &[]);
    for flow in flows.iter().chain([&back]) {
        flow.await_answers(200).unwrap();
    }
    for flow in flows.into_iter().chain([back]) {
        println!("return after {failure:?}: {:?}", flow.stop().unwrap());
    }
}

#[test]
fn a_gateway_that_is_cut_off() {
    survives(Failure::CutOff);
}

#[test]
fn a_gateway_without_power() {
    survives(Failure::PowerOff);
}
