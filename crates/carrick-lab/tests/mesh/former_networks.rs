//! No packet to what a node of another location had leaves in clear while its Node is deleted, or loses its key, under traffic.
//!
//! Each packet contains a mark. Captures on the uplinks of all nodes and routers search whole frames for it.

use std::net::IpAddr;

use carrick_lab::address::Family;
use carrick_lab::capture::marked::MarkedCapture;
use carrick_topology::constants::FIREWALL_MARK;

use crate::marked_traffic::MarkedTraffic;
use crate::mesh::{Mesh, reaches};
use crate::nothing_in_clear::await_unreachable;
use crate::uplinks::{Inside, Uplinks};

/// The networks of location c.
const NETWORKS: &str = "172.20.0.0/24,fd77::/64";
/// Addresses in them, which node c1 has.
const IN_NETWORKS: [&str; 2] = ["172.20.0.5", "fd77::5"];

fn clouds(granularity: &str) -> String {
    format!(
        "
agent: {{granularity: {granularity}, flags: ['--standby-gateways=0']}}
locations:
  - {{name: a, nodes: [{{name: a1}}, {{name: a2}}]}}
  - {{name: b, nodes: [{{name: b1}}, {{name: b2}}]}}
  - {{name: c, nodes: [{{name: c1, annotations: {{carrick.dev/allowed-location-cidrs: '{NETWORKS}'}}}}]}}
"
    )
}

fn internal(mesh: &Mesh, node: &str) -> [IpAddr; 2] {
    Family::BOTH.map(|family| mesh.internal_address(node, family))
}

/// An endpoint can be any address: WireGuard's own packets have the firewall mark.
fn wireguard_has_route(mesh: &Mesh, node: &str, address: &IpAddr) {
    let family = if address.is_ipv6() { "-6" } else { "-4" };
    let (address, mark) = (address.to_string(), FIREWALL_MARK.to_string());
    let route = mesh.node_namespaces(node).exec(&["ip", family, "route", "get", &address, "mark", &mark]).unwrap();
    assert!(route.contains("dev eth0"), "{node} to {address}: {route}");
}

/// The nodes of location a send nothing in clear to these addresses, and nothing arrives.
fn are_closed(mesh: &Mesh, traffic: &MarkedTraffic, addresses: &[IpAddr]) {
    for node in ["a1", "a2"] {
        addresses.iter().for_each(|address| await_unreachable(mesh, node, &address.to_string()));
        addresses.iter().for_each(|address| wireguard_has_route(mesh, node, address));
    }
    traffic.await_sent(200);
}

fn what_nodes_had_stays_closed(granularity: &str) {
    let mesh = Mesh::up(&clouds(granularity));
    for (address, length) in IN_NETWORKS.into_iter().zip([32, 128]) {
        let address = format!("{address}/{length}");
        mesh.node_namespaces("c1").exec(&["ip", "address", "add", &address, "dev", "lo"]).unwrap();
    }
    mesh.all_reach();
    let of_b2 = internal(&mesh, "b2");
    let of_c1 = [internal(&mesh, "c1"), IN_NETWORKS.map(|address| address.parse().unwrap())].concat();
    let targets = [&of_b2[..], &of_c1].concat();
    let mut traffic = MarkedTraffic::new();
    let mut uplinks = Uplinks::new(Inside::of(granularity), traffic.mark);
    ["a", "b", "c"].iter().for_each(|location| uplinks.add_router(&mesh, location));
    ["a1", "a2", "b1", "b2", "c1"].iter().for_each(|node| uplinks.add_node(&mesh, node));
    let pod = MarkedCapture::start(mesh.pod("a1-pod1").unwrap().namespaces(), "eth0").unwrap();
    ["b2", "c1"].iter().for_each(|node| traffic.add_host(&mesh.node_namespaces(node), &[]));
    for node in ["a1", "a2"] {
        for target in &targets {
            assert!(reaches(&mesh.node_namespaces(node), *target), "{node} does not reach {target}");
        }
        traffic.add_host(&mesh.node_namespaces(node), &targets);
        traffic.add_host(mesh.pod(&format!("{node}-pod1")).unwrap().namespaces(), &targets);
    }
    traffic.await_packets(200);

    // The Nodes alone are deleted: their machines go on.
    mesh.kubernetes().delete_node("c1").unwrap();
    are_closed(&mesh, &traffic, &of_c1);

    // The agent of b2 does not publish the key again before it starts.
    mesh.node("b2").unwrap().stop_agent().unwrap();
    mesh.kubernetes().annotate("b2", "carrick.dev/public-key", None).unwrap();
    are_closed(&mesh, &traffic, &targets);
    mesh.node("b2").unwrap().start_agent().unwrap();
    mesh.node("b2").unwrap().await_agent().unwrap();
    for node in ["a1", "a2"] {
        for address in of_b2 {
            assert!(reaches(&mesh.node_namespaces(node), address), "{node} does not reach {address} again");
        }
    }
    traffic.await_packets(100);

    mesh.kubernetes().delete_node("b2").unwrap();
    are_closed(&mesh, &traffic, &targets);
    for address in of_b2 {
        assert!(reaches(&mesh.node_namespaces("b1"), address), "b1 does not reach {address}, which is in its location");
    }
    assert!(mesh.warnings("a1").is_empty() && mesh.warnings("b1").is_empty());

    assert!(!pod.stop(&traffic.mark).unwrap().is_empty(), "the mark is not found where packets are in clear");
    uplinks.check_all();
}

#[test]
fn what_nodes_had_stays_closed_in_location() {
    what_nodes_had_stays_closed("location");
}

#[test]
fn what_nodes_had_stays_closed_in_cross() {
    what_nodes_had_stays_closed("cross");
}

#[test]
fn what_nodes_had_stays_closed_in_full() {
    what_nodes_had_stays_closed("full");
}
