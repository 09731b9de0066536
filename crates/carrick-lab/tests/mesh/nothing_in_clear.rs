//! No packet of a pod leaves a node in clear while Nodes are deleted, join, and take the place of others under traffic.

use carrick_lab::address::Family;
use carrick_lab::capture::{Capture, filter};
use carrick_lab::topology::{Location, Node};
use carrick_lab::wait;
use serde_json::json;

use crate::mesh::Mesh;

fn clouds(granularity: &str) -> String {
    format!(
        "
agent: {{granularity: {granularity}, flags: ['--standby-gateways=0']}}
locations:
  - {{name: a, nodes: [{{name: a1}}]}}
  - {{name: b, nodes: [{{name: b1}}, {{name: b2}}]}}
  - {{name: c, nodes: [{{name: c1}}]}}
"
    )
}

/// Waits until a node does not route an address any more.
fn await_unreachable(mesh: &Mesh, node: &str, address: &str) {
    let family = if address.contains(':') { "-6" } else { "-4" };
    wait::until(&format!("{node} does not send to {address}"), || {
        let route = mesh.node_namespaces(node).exec(&["ip", family, "route", "get", address]);
        Ok(route.is_err().then_some(()))
    })
    .unwrap();
}

fn nothing_leaves_in_clear(granularity: &str) {
    let mut mesh = Mesh::up(&clouds(granularity));
    mesh.all_reach();
    let uplinks = ["a1", "b1", "c1"].map(|node| {
        let capture = Capture::start(&mesh.node_namespaces(node), "eth0", &filter::clear_mesh()).unwrap();
        (node, capture)
    });
    let targets = ["b2-pod1", "c1-pod1"];
    let addresses = targets.map(|pod| Family::BOTH.map(|family| mesh.pod_address(pod, family).to_string())).concat();
    let sources = [("a1-pod1", "c1-pod1"), ("b1-pod1", "c1-pod1"), ("a1-pod1", "b2-pod1"), ("c1-pod1", "b1-pod1")];
    let flows: Vec<_> =
        sources.iter().flat_map(|(from, to)| Family::BOTH.map(|family| mesh.flow(from, to, family))).collect();
    let steady = mesh.flow("a1-pod1", "b1-pod1", Family::V4);

    // The Node alone is deleted: its machine goes on sending, and others go on sending to it.
    mesh.kubernetes().delete_node("c1").unwrap();
    // The machine goes too, and another node takes its place.
    mesh.remove_node("b2").unwrap();
    for address in &addresses {
        await_unreachable(&mesh, "a1", address);
    }
    let renamed: Node = serde_json::from_value(json!({ "name": "b3" })).unwrap();
    mesh.add_node("b", &renamed).unwrap();
    mesh.start("b3").unwrap();
    let location: Location = serde_json::from_value(json!({ "name": "d", "nodes": [{ "name": "d1" }] })).unwrap();
    mesh.add_location(&location).unwrap();
    mesh.start("d1").unwrap();
    for node in ["b3", "d1"] {
        mesh.node(node).unwrap().await_agent().unwrap();
    }
    for address in &addresses {
        await_unreachable(&mesh, "a1", address);
    }
    steady.await_answers(50).unwrap();

    drop(flows);
    let report = steady.stop().unwrap();
    assert!(report.lost.is_empty(), "{granularity}: {report:?}");
    for (node, capture) in uplinks {
        let in_clear = capture.stop().unwrap();
        assert!(in_clear.is_empty(), "{granularity}, {node}: {in_clear:#?}");
    }
}

#[test]
fn nothing_leaves_in_clear_in_location() {
    nothing_leaves_in_clear("location");
}

#[test]
fn nothing_leaves_in_clear_in_cross() {
    nothing_leaves_in_clear("cross");
}

#[test]
fn nothing_leaves_in_clear_in_full() {
    nothing_leaves_in_clear("full");
}
