//! Meshes with the kernel's WireGuard. These tests run in a virtual machine, whose kernel has WireGuard.

use std::time::UNIX_EPOCH;

use carrick_lab::topology::DEMO;
use carrick_lab::{Topology, wait};

use crate::mesh::{Mesh, reaches};

/// Two nodes with fixed endpoints. Their agents choose the WireGuard (`--wireguard auto`).
const PAIR: &str = "
families: v4
locations:
  - {name: a, families: v4, nodes: [{name: a1}]}
  - {name: b, families: v4, nodes: [{name: b1}]}
";

/// Kernel and userspace WireGuard in each cloud, so that each pair of them has tunnels in both directions, also from behind NAT.
const MIXED: &str = "
agent: {granularity: cross}
locations:
  - name: a
    nodes:
      - {name: a1, agent_flags: [--wireguard=kernel]}
      - {name: a2, agent_flags: [--wireguard=userspace]}
  - name: b
    nodes:
      - {name: b1, agent_flags: [--wireguard=userspace]}
      - {name: b2, agent_flags: [--wireguard=kernel]}
  - name: home
    router: nat
    nodes:
      - {name: h1, agent_flags: [--wireguard=kernel], annotations: {carrick.dev/persistent-keepalive: '25'}}
";

/// The number of times that the agent reads WireGuard's configuration while a test watches the sessions.
const POLLS: u64 = 3;
/// The seconds after which WireGuard repeats a handshake without an answer.
const REKEY_TIMEOUT: u64 = 5;

/// The time of the last handshake of the node's only peer, in seconds since the epoch; 0 if there was none.
fn last_handshake(mesh: &Mesh, node: &str) -> u64 {
    let shown = mesh.node(node).unwrap().exec(&["wg", "show", "carrick0", "latest-handshakes"]).unwrap();
    shown.split_whitespace().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or_default()
}

/// Like [`last_handshake`], when no further handshake is in progress. If both ends start at the same time, one may start again after 5 s
/// (`REKEY_TIMEOUT`, WireGuard paper §6.1).
fn settled_handshake(mesh: &Mesh, node: &str) -> u64 {
    wait::until("the last handshake", || {
        let latest = last_handshake(mesh, node);
        let age = UNIX_EPOCH.elapsed()?.as_secs().saturating_sub(latest);
        Ok((latest > 0 && age > 2 * REKEY_TIMEOUT).then_some(latest))
    })
    .unwrap()
}

/// Waits until the agent has compared this number of times and found no difference.
fn await_polls(mesh: &Mesh, node: &str, polls: u64) {
    wait::until("the agent's reads of WireGuard", || {
        let metrics = mesh.node(node)?.agent_page("/metrics")?.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("carrick_applies_total{result=\"Unchanged\"} "));
        let unchanged: u64 = line.map_or(Ok(0), str::parse)?;
        Ok((unchanged >= polls).then_some(()))
    })
    .unwrap();
}

/// The kind of the node's WireGuard device, as `ip` shows it.
fn device(mesh: &Mesh, node: &str) -> String {
    mesh.node(node).unwrap().exec(&["ip", "-details", "link", "show", "carrick0"]).unwrap()
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn nodes_on_the_kernels_wireguard_and_on_a_process_form_one_mesh() {
    let mesh = Mesh::up(MIXED);
    for (node, kind) in [("a1", "wireguard"), ("a2", "tun"), ("b1", "tun"), ("b2", "wireguard"), ("h1", "wireguard")] {
        let shown = device(&mesh, node);
        assert!(shown.contains(kind), "{shown}");
    }
    // One after the other: an emulated processor does not carry all pairs at once through a process.
    let endpoints = mesh.all_endpoints();
    for from in &endpoints {
        for to in endpoints.iter().filter(|to| to.name != from.name) {
            for target in to.addresses.list() {
                assert!(reaches(&from.namespaces, target), "{} does not reach {} ({target})", from.name, to.name);
            }
        }
    }
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn the_demo_reaches_by_the_kernels_wireguard() {
    let mut topology = Topology::parse(DEMO).unwrap();
    topology.agent.flags.push("--wireguard=kernel".to_owned());
    // Five nodes that all send at once leave an emulated processor no time for probes.
    topology.agent.flags.push("--failover-interval=30000".to_owned());
    // JSON is YAML.
    let mesh = Mesh::up(&serde_json::to_string(&topology).unwrap());
    for node in mesh.nodes() {
        let shown = device(&mesh, node.name());
        assert!(shown.contains("wireguard"), "{shown}");
    }
    mesh.all_endpoints_reach_each_other();
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn agents_choose_the_kernels_wireguard_and_leave_its_sessions_alone() {
    let mesh = Mesh::up(PAIR);
    for node in ["a1", "b1"] {
        let shown = device(&mesh, node);
        assert!(shown.contains("wireguard"), "{shown}");
        assert_eq!(mesh.logged(node, "wireguard_chosen").len(), 1);
        assert!(mesh.logged(node, "wireguard_chosen")[0].contains("kernel"));
    }
    mesh.all_reach();
    let before = settled_handshake(&mesh, "a1");
    let repaired = mesh.logged("a1", "drift_repaired");
    mesh.node("a1").unwrap().stop_agent().unwrap();
    mesh.node("a1").unwrap().start_agent().unwrap();
    mesh.await_agents();
    await_polls(&mesh, "a1", POLLS);
    mesh.all_reach();
    assert_eq!(mesh.logged("a1", "drift_repaired"), repaired);
    assert_eq!(last_handshake(&mesh, "a1"), before);
}
