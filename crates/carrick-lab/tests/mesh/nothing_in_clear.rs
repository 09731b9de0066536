//! No packet of a pod leaves a node in clear while Nodes are deleted, join, and take the place of others under traffic.
//!
//! Each packet of the pods contains a mark. Captures on the uplinks of all nodes and routers search whole frames for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_lab::address::Family;
use carrick_lab::capture::marked::{MARK_BYTES, MarkedCapture, MarkedFrame};
use carrick_lab::topology::{Location, Node};
use carrick_lab::wait;
use carrick_topology::constants::{ROUTING_TABLE, VXLAN_PORT};
use serde_json::json;

use crate::marked_traffic::MarkedTraffic;
use crate::mesh::Mesh;
use crate::shared_settings::create;
use crate::spoofing::mac_of;

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
fn await_unreachable(mesh: &Mesh, node: &str, address: &str) {
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

/// The internal and Ethernet addresses of the nodes of a location, also of those that are gone.
#[derive(Default)]
struct Members {
    internal: BTreeSet<(String, IpAddr)>,
    ethernet: BTreeSet<(String, [u8; 6])>,
}

impl Members {
    fn add(&mut self, mesh: &Mesh, node: &str) {
        let location = &mesh.node(node).unwrap().layout().location;
        let internal = Family::BOTH.map(|family| (location.clone(), mesh.internal_address(node, family)));
        self.internal.extend(internal);
        self.ethernet.insert((location.clone(), mac_of(&mesh.node_namespaces(node), "eth0")));
    }

    /// VXLAN between internal addresses of the location, or a packet that one of its nodes sends to another one.
    fn is_inside(&self, location: &str, frame: &MarkedFrame) -> bool {
        let is_internal = |address| self.internal.contains(&(location.to_owned(), address));
        let is_vxlan = frame.udp_port == Some(VXLAN_PORT)
            && frame.addresses.is_some_and(|(from, to)| is_internal(from) && is_internal(to));
        let is_node = |address| self.ethernet.contains(&(location.to_owned(), address));
        is_vxlan || (is_node(frame.from) && is_node(frame.to))
    }
}

/// The captures on the uplinks of nodes and routers.
struct Uplinks {
    /// With the location whose network the uplink leads into; `None` for the internet.
    captures: BTreeMap<String, (Option<String>, MarkedCapture)>,
    members: Members,
    /// Whether packets between nodes of one location may be in clear.
    is_clear_inside: bool,
    mark: [u8; MARK_BYTES],
}

impl Uplinks {
    fn add_router(&mut self, mesh: &Mesh, location: &str) {
        let capture = MarkedCapture::start(mesh.site(location).unwrap().router(), "wan0").unwrap();
        self.captures.insert(format!("the router of {location}"), (None, capture));
    }

    fn add_node(&mut self, mesh: &Mesh, node: &str) {
        let location = mesh.node(node).unwrap().layout().location.clone();
        let capture = MarkedCapture::start(&mesh.node_namespaces(node), "eth0").unwrap();
        self.captures.insert(node.to_owned(), (Some(location), capture));
        self.members.add(mesh, node);
    }

    /// Ends a capture and checks its frames.
    fn check(&mut self, uplink: &str) {
        let (location, capture) = self.captures.remove(uplink).unwrap();
        let frames = capture.stop(&self.mark).unwrap();
        let location = location.filter(|_| self.is_clear_inside);
        let is_inside = |frame: &MarkedFrame| location.as_ref().is_some_and(|name| self.members.is_inside(name, frame));
        let in_clear: Vec<_> = frames.into_iter().filter(|frame| !is_inside(frame)).collect();
        assert!(in_clear.is_empty(), "{uplink}: {in_clear:#?}");
    }
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
    let mut uplinks = Uplinks {
        captures: BTreeMap::new(),
        members: Members::default(),
        is_clear_inside: granularity != "full",
        mark: traffic.mark,
    };
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
    for uplink in uplinks.captures.keys().cloned().collect::<Vec<_>>() {
        uplinks.check(&uplink);
    }
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
