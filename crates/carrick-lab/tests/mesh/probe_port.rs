//! Another program has the port of the probes on a node.

use std::net::UdpSocket;
use std::time::Duration;

use carrick_lab::wait;
use carrick_topology::Family;
use carrick_topology::constants::PROBE_PORT;

use crate::mesh::{Mesh, all_reach};

/// Longer than a node needs to find others down that answer no probe.
const OBSERVED: Duration = Duration::from_secs(5);

fn await_readiness(mesh: &Mesh, node: &str, what: &str, holds: impl Fn(&str) -> bool) {
    wait::until(what, || {
        // A page that cannot be read yet: the agent starts.
        let page = mesh.node(node).unwrap().agent_page("/readyz").ok();
        Ok(page.is_some_and(|page| holds(&page.body)).then_some(()))
    })
    .unwrap();
}

/// An inner node keeps its gateways, and a gateway gives way to another one.
#[test]
fn a_node_whose_probe_port_is_taken_keeps_its_gateways_and_says_so() {
    let mesh = Mesh::up(
        "
agent: {flags: ['--standby-gateways=1']}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}, {name: a3}]}
  - {name: b, nodes: [{name: b1}]}
",
    );
    mesh.all_reach();
    for node in ["a3", "a1"] {
        let address = mesh.internal_address(node, Family::V4);
        mesh.node(node).unwrap().kill_agent().unwrap();
        let holder = mesh
            .node_namespaces(node)
            .enter(|| Ok(wait::until("the port", || Ok(UdpSocket::bind((address, PROBE_PORT)).ok())).unwrap()))
            .unwrap();
        mesh.node(node).unwrap().start_agent().unwrap();
        let told = format!("another program has UDP port {PROBE_PORT} at {address}");
        await_readiness(&mesh, node, "the fault", |body| body.contains(&told) && body.contains("ss -lunp"));
        std::thread::sleep(OBSERVED);
        assert_eq!(mesh.status(node)["liveness"]["down"], serde_json::json!([]), "{node} finds no other node down");
        all_reach(&mesh.pods_only());

        drop(holder);
        await_readiness(&mesh, node, "the end of the fault", |body| !body.contains(&told));
        mesh.all_reach();
    }
}
