//! Meshes on the kernel's WireGuard. Kernels without it cannot run these: they are for the virtual machine.

use carrick_lab::topology::DEMO;
use carrick_lab::{Topology, wait};

use crate::mesh::Mesh;

/// Two nodes that find each other at fixed endpoints; nothing tells their agents which WireGuard to use.
const PAIR: &str = "
families: v4
locations:
  - {name: a, families: v4, nodes: [{name: a1}]}
  - {name: b, families: v4, nodes: [{name: b1}]}
";

/// Kernel and userspace in each cloud, so that every kind of tunnel is there in both directions, also from behind NAT.
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

/// How many times the agent reads WireGuard's configuration while a test watches its sessions.
const POLLS: u64 = 3;

/// What carries a node's interface.
#[derive(Debug, PartialEq, Eq)]
enum Carrier {
    Kernel,
    Userspace,
}

fn carrier(mesh: &Mesh, node: &str) -> Carrier {
    let shown = mesh.node(node).unwrap().exec(&["ip", "-details", "link", "show", "carrick0"]).unwrap();
    if shown.contains("wireguard") {
        Carrier::Kernel
    } else {
        assert!(shown.contains("tun"), "{shown}");
        Carrier::Userspace
    }
}

/// When the node's only peer completed its last handshake, in seconds since the epoch; 0 for never.
fn last_handshake(mesh: &Mesh, node: &str) -> u64 {
    let shown = mesh.node(node).unwrap().exec(&["wg", "show", "carrick0", "latest-handshakes"]).unwrap();
    shown.split_whitespace().nth(1).and_then(|seconds| seconds.parse().ok()).unwrap_or_default()
}

/// Waits until the agent has looked so many times and found nothing to do.
fn await_polls(mesh: &Mesh, node: &str, polls: u64) {
    wait::until("the agent's looks at WireGuard", || {
        let metrics = mesh.node(node)?.agent_page("/metrics")?.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("carrick_applies_total{result=\"Unchanged\"} "));
        let unchanged: u64 = line.map_or(Ok(0), str::parse)?;
        Ok((unchanged >= polls).then_some(()))
    })
    .unwrap();
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn demo_reaches_by_the_kernels_wireguard() {
    let mut topology = Topology::parse(DEMO).unwrap();
    topology.agent.flags.push("--wireguard=kernel".to_owned());
    // JSON is YAML.
    let mesh = Mesh::up(&serde_json::to_string(&topology).unwrap());
    for node in mesh.nodes() {
        assert_eq!(carrier(&mesh, node.name()), Carrier::Kernel, "{}", node.name());
    }
    mesh.everybody_reaches_everybody();
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn kernel_and_userspace_nodes_form_one_mesh() {
    let mesh = Mesh::up(MIXED);
    let carriers = ["a1", "a2", "b1", "b2", "h1"].map(|node| carrier(&mesh, node));
    use Carrier::{Kernel, Userspace};
    assert_eq!(carriers, [Kernel, Userspace, Userspace, Kernel, Kernel]);
    mesh.everybody_reaches_everybody();
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn agents_choose_the_kernels_wireguard_and_leave_its_sessions_alone() {
    let mesh = Mesh::up(PAIR);
    for node in ["a1", "b1"] {
        assert_eq!(carrier(&mesh, node), Carrier::Kernel);
        assert_eq!(mesh.logged(node, "wireguard_chosen").len(), 1);
        assert!(mesh.logged(node, "wireguard_chosen")[0].contains("kernel"));
    }
    mesh.all_reach();
    let before = last_handshake(&mesh, "a1");
    assert_ne!(before, 0);
    mesh.node("a1").unwrap().stop_agent().unwrap();
    mesh.node("a1").unwrap().start_agent().unwrap();
    mesh.await_agents();
    await_polls(&mesh, "a1", POLLS);
    mesh.all_reach();
    assert_eq!(mesh.logged("a1", "drift_repaired"), Vec::<String>::new());
    assert_eq!(last_handshake(&mesh, "a1"), before);
}
