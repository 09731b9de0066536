//! A node that reboots while the API server does not answer: the saved state brings the node back.

use anyhow::Context as _;
use carrick_lab::wait;
use carrick_test_apiserver::proxy::Mode;
use serde_json::Value;

use crate::mesh::{CLOUDS, Mesh};

/// Waits until the agent's saved state contains all nodes with their keys.
fn await_saved(mesh: &Mesh, node: &str) {
    let path = mesh.node(node).unwrap().path("/var/lib/carrick/cluster.json").unwrap();
    wait::until("the saved cluster", || {
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
        let saved: Value = serde_json::from_str(&text)?;
        let nodes = saved["cluster"]["nodes"].as_object().context("the saved cluster has no nodes")?;
        let known = nodes.values().filter(|node| node["public_key"].is_string()).count();
        Ok((known == mesh.nodes().count()).then_some(()))
    })
    .unwrap();
}

fn rejoins_from_its_disk(node: &str, mode: Mode) {
    let mut mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    await_saved(&mesh, node);
    mesh.kubernetes().set_all(mode);
    mesh.crash(node).unwrap();
    mesh.boot(node).unwrap();
    mesh.start(node).unwrap();
    mesh.node(node).unwrap().await_agent().unwrap();
    assert_eq!(mesh.status(node)["api"], "lost");
    mesh.all_endpoints_reach_each_other();
}

#[test]
fn a_gateway_rejoins_while_the_api_refuses() {
    rejoins_from_its_disk("a1", Mode::Cut);
}

#[test]
fn an_inner_node_rejoins_while_the_api_hangs() {
    rejoins_from_its_disk("b2", Mode::Hang);
}

#[test]
fn a_node_behind_nat_rejoins_while_the_api_hangs() {
    rejoins_from_its_disk("h1", Mode::Hang);
}
