//! No packet of a pod leaves a node in clear while Nodes are deleted, join, and take the place of others under traffic.
//!
//! Each packet of the pods contains a mark. Captures on the uplinks of all nodes and routers search whole frames for it.

use carrick_lab::address::Family;
use carrick_lab::capture::marked::MarkedCapture;
use carrick_lab::topology::{Location, Node};
use carrick_lab::wait;
use carrick_topology::constants::ROUTING_TABLE;
use serde_json::json;

use crate::marked_traffic::MarkedTraffic;
use crate::mesh::Mesh;
use crate::shared_settings::create;
use crate::uplinks::{Inside, Uplinks};

/// Node a2 is in another subnet than a1 if `second` is 1.
fn clouds(granularity: &str, encapsulation: &str, second: u8) -> String {
    format!(
        "
agent: {{granularity: {granularity}, encapsulation: {encapsulation}, flags: ['--standby-gateways=0']}}
locations:
  - {{name: a, subnets: [{{}}, {{}}], nodes: [{{name: a1}}, {{name: a2, subnet: {second}}}]}}
  - {{name: b, nodes: [{{name: b1}}, {{name: b2}}]}}
  - {{name: c, nodes: [{{name: c1}}]}}
"
    )
}

/// Waits until a node does not route an address any more.
pub fn await_unreachable(mesh: &Mesh, node: &str, address: &str) {
    let family = if address.contains(':') { "-6" } else { "-4" };
    wait::until(&format!("{node} does not send to {address}"), || {
        let route = mesh.node_namespaces(node).exec(&["ip", family, "route", "get", address]);
        Ok(route.is_err().then_some(()))
    })
    .unwrap();
}

/// Waits until the mesh's routing table of a node has a route to an address.
fn await_route(mesh: &Mesh, node: &str, address: &str) {
    let family = if address.contains(':') { "-6" } else { "-4" };
    let table = ROUTING_TABLE.to_string();
    wait::until(&format!("{node} has a route to {address}"), || {
        let routes =
            mesh.node_namespaces(node).exec(&["ip", family, "route", "show", "table", &table, "match", address])?;
        Ok((!routes.trim().is_empty()).then_some(()))
    })
    .unwrap();
}

/// Who knows the pod CIDRs of nodes that are gone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// The nodes that have seen them.
    BySight,
    /// All nodes, also those that join later: the Mesh names the cluster CIDRs.
    ByMesh,
}

fn nothing_leaves_in_clear(granularity: &str, encapsulation: &str, second: u8, known: Known) {
    let mut mesh = Mesh::up(&clouds(granularity, encapsulation, second));
    if known == Known::ByMesh {
        create(&mesh, &json!({"clusterCIDRs": ["10.42.0.0/16", "fd42::/32"]}));
    }
    mesh.all_reach();
    let mut traffic = MarkedTraffic::new();
    let mut uplinks = Uplinks::new(Inside::of(granularity), traffic.mark);
    for location in ["a", "b", "c"] {
        uplinks.add_router(&mesh, location);
    }
    let pod = MarkedCapture::start(mesh.pod("a1-pod1").unwrap().namespaces(), "eth0").unwrap();
    for node in ["a1", "a2", "b1", "b2", "c1"] {
        uplinks.add_node(&mesh, node);
        traffic.add(&mesh, &format!("{node}-pod1"));
    }
    let gone = ["b2-pod1", "c1-pod1"];
    let addresses = gone.map(|pod| Family::BOTH.map(|family| mesh.pod_address(pod, family).to_string())).concat();
    let steady = mesh.flow("a1-pod1", "b1-pod1", Family::V4);
    traffic.await_packets(200);

    // The Node alone is deleted: its machine goes on sending, and others go on sending to it.
    mesh.kubernetes().delete_node("c1").unwrap();
    if known == Known::BySight {
        gone.iter().for_each(|pod| traffic.retire(&mesh, pod));
    }
    // The machine goes too, and another node takes its place.
    uplinks.check("b2");
    mesh.remove_node("b2").unwrap();
    for address in &addresses {
        await_unreachable(&mesh, "a1", address);
    }
    let renamed: Node = serde_json::from_value(json!({ "name": "b3" })).unwrap();
    mesh.add_node("b", &renamed).unwrap();
    let location: Location = serde_json::from_value(json!({ "name": "d", "nodes": [{ "name": "d1" }] })).unwrap();
    mesh.add_location(&location).unwrap();
    uplinks.add_router(&mesh, "d");
    let mut senders = vec!["a1", "a2", "b1"];
    for node in ["b3", "d1"] {
        uplinks.add_node(&mesh, node);
        mesh.start(node).unwrap();
        mesh.node(node).unwrap().await_agent().unwrap();
        // A node that has not heard of the new Node cannot know its pod CIDR.
        let pod = format!("{node}-pod1");
        for address in Family::BOTH.map(|family| mesh.pod_address(&pod, family).to_string()) {
            senders.iter().for_each(|sender| await_route(&mesh, sender, &address));
        }
        senders.push(node);
        traffic.add(&mesh, &pod);
    }
    for address in &addresses {
        await_unreachable(&mesh, "a1", address);
    }
    steady.await_answers(50).unwrap();
    traffic.await_packets(200);

    let report = steady.stop().unwrap();
    assert!(report.lost.is_empty(), "{report:?}");
    assert!(!pod.stop(&traffic.mark).unwrap().is_empty(), "the mark is not found where packets are in clear");
    uplinks.check_all();
}

#[test]
fn nothing_leaves_in_clear_in_location() {
    nothing_leaves_in_clear("location", "always", 1, Known::BySight);
}

#[test]
fn nothing_leaves_in_clear_in_location_with_vxlan_between_subnets() {
    nothing_leaves_in_clear("location", "cross-subnet", 1, Known::BySight);
}

#[test]
fn nothing_leaves_in_clear_in_location_without_vxlan() {
    nothing_leaves_in_clear("location", "never", 0, Known::BySight);
}

#[test]
fn nothing_leaves_in_clear_in_cross() {
    nothing_leaves_in_clear("cross", "always", 1, Known::BySight);
}

#[test]
fn nothing_leaves_in_clear_in_cross_with_vxlan_between_subnets() {
    nothing_leaves_in_clear("cross", "cross-subnet", 1, Known::BySight);
}

#[test]
fn nothing_leaves_in_clear_in_cross_without_vxlan() {
    nothing_leaves_in_clear("cross", "never", 0, Known::BySight);
}

#[test]
fn nothing_leaves_in_clear_in_full() {
    nothing_leaves_in_clear("full", "always", 1, Known::BySight);
}

#[test]
fn nothing_leaves_in_clear_from_new_nodes_if_the_mesh_names_the_cluster_cidrs() {
    for granularity in ["location", "full"] {
        nothing_leaves_in_clear(granularity, "always", 1, Known::ByMesh);
    }
}
