//! Meshes on the kernel's WireGuard. Kernels without it cannot run these: they are for the virtual machine.

use carrick_lab::wait;

use crate::mesh::Mesh;

/// Two nodes that find each other at fixed endpoints; nothing tells their agents which WireGuard to use.
const PAIR: &str = "
families: v4
locations:
  - {name: a, families: v4, nodes: [{name: a1}]}
  - {name: b, families: v4, nodes: [{name: b1}]}
";

/// As above, and one of the two has a process for it.
const MIXED: &str = "
families: v4
locations:
  - {name: a, families: v4, nodes: [{name: a1, agent_flags: [--wireguard=kernel]}]}
  - {name: b, families: v4, nodes: [{name: b1, agent_flags: [--wireguard=userspace]}]}
";

/// How many times the agent reads WireGuard's configuration while a test watches its sessions.
const POLLS: u64 = 3;

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

/// What kind of device the node's WireGuard is, as `ip` shows it.
fn device(mesh: &Mesh, node: &str) -> String {
    mesh.node(node).unwrap().exec(&["ip", "-details", "link", "show", "carrick0"]).unwrap()
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn a_node_on_the_kernels_wireguard_and_one_on_a_process_form_one_mesh() {
    let mesh = Mesh::up(MIXED);
    let [kernel, process] = ["a1", "b1"].map(|node| device(&mesh, node));
    assert!(kernel.contains("wireguard"), "{kernel}");
    assert!(process.contains("tun"), "{process}");
    mesh.everybody_reaches_everybody();
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
    let before = last_handshake(&mesh, "a1");
    assert_ne!(before, 0);
    let repaired = mesh.logged("a1", "drift_repaired");
    mesh.node("a1").unwrap().stop_agent().unwrap();
    mesh.node("a1").unwrap().start_agent().unwrap();
    mesh.await_agents();
    await_polls(&mesh, "a1", POLLS);
    mesh.all_reach();
    assert_eq!(mesh.logged("a1", "drift_repaired"), repaired);
    assert_eq!(last_handshake(&mesh, "a1"), before);
}
