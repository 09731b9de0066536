//! One agent at a time uses the state directory of a node.

use std::process::Command;

use carrick_lab::binaries;

use crate::mesh::{CLOUDS, Mesh};

#[test]
fn a_second_agent_on_a_node_is_refused_and_disturbs_nothing() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let mut second = Command::new("timeout");
    second.arg("30").arg(binaries::find("carrick").unwrap());
    second.args(["agent", "--node-name", "a1", "--kubeconfig", "/run/lab/kubeconfig", "--listen", "127.0.0.1:1199"]);
    let output = mesh.node_namespaces("a1").output(&mut second).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("/var/lib/carrick"), "{said}");
    mesh.node("a1").unwrap().check_agent().unwrap();
    mesh.all_endpoints_reach_each_other();

    mesh.node("a1").unwrap().kill_agent().unwrap();
    mesh.node("a1").unwrap().start_agent().unwrap();
    mesh.node("a1").unwrap().await_agent().unwrap();
}
