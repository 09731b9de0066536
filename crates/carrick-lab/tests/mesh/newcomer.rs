//! A node that joins later changes nothing for the present nodes.

use std::collections::BTreeMap;

use carrick_lab::address::Family;
use carrick_lab::flow::Flow;
use carrick_lab::topology::Location;
use serde_json::{Value, json};

use crate::mesh::{CLOUDS, Mesh};

fn mesh_addresses(mesh: &Mesh) -> BTreeMap<String, Value> {
    let published = |node: &str| mesh.kubernetes().node(node).unwrap()["metadata"]["annotations"].clone();
    let of = |node: &str| published(node)["carrick.dev/mesh-addresses"].clone();
    mesh.nodes().map(|node| (node.name().to_owned(), of(node.name()))).collect()
}

#[test]
fn a_node_in_a_new_location_that_sorts_first_loses_no_packet() {
    let mut mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let flows = [
        mesh.flow("a1-pod1", "b1-pod1", Family::V4),
        mesh.flow("a2-pod1", "h1-pod1", Family::V6),
        mesh.flow("b2-pod1", "a2-pod1", Family::V4),
    ];
    let before = mesh_addresses(&mesh);
    assert!(before.values().all(Value::is_string), "{before:?}");

    let location: Location = serde_json::from_value(json!({ "name": "aaa", "nodes": [{ "name": "0first" }] })).unwrap();
    mesh.add_location(&location).unwrap();
    mesh.start("0first").unwrap();
    mesh.await_agents();
    mesh.all_endpoints_reach_each_other();

    Flow::await_answers_of_all(&flows, 100).unwrap();
    for flow in flows {
        let report = flow.stop().unwrap();
        assert!(report.lost.is_empty(), "{report:?}");
    }
    let mut after = mesh_addresses(&mesh);
    assert!(after.remove("0first").unwrap().is_string());
    assert_eq!(after, before);
}
