//! One agent at a time uses the state directory of a node, and it says what keeps it from writing there.

use std::process::Command;

use carrick_lab::node::Node;
use carrick_lab::{binaries, wait};

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

const ONE_NODE: &str = "locations: [{name: a, nodes: [{name: a1, pods: 2}]}]";
/// How the text of the fault begins.
const FAULT: &str = "the state of the cluster cannot be saved";

/// Waits until the body of `/readyz` has the fault with this reason, or no such fault. The node is ready meanwhile.
fn await_fault(node: &Node, reason: Option<&str>) {
    wait::until("the fault", || {
        node.check_agent()?;
        let page = node.agent_page("/readyz")?;
        assert_eq!(page.status, 200, "{}", page.body);
        let line = page.body.lines().find(|line| line.contains(FAULT));
        Ok(match reason {
            None => line.is_none(),
            Some(reason) => line.is_some_and(|line| line.to_lowercase().contains(reason)),
        }
        .then_some(()))
    })
    .unwrap();
}

#[test]
fn a_state_directory_that_takes_nothing_is_a_fault_until_it_does() {
    let mesh = Mesh::up(ONE_NODE);
    mesh.all_reach();
    let node = mesh.node("a1").unwrap();
    let run = |command: &str| node.exec(&["sh", "-c", command]).unwrap();
    await_fault(node, None);

    run("cp -a /var/lib/carrick /run/state
         mount -t tmpfs -o size=256k,nr_inodes=20,mode=700 carrick /var/lib/carrick
         cp -a /run/state/. /var/lib/carrick/");
    // The agent of a full disk writes nothing, and says so before it has anything to write.
    run("cat /dev/zero >/var/lib/carrick/large 2>/dev/null; true");
    await_fault(node, Some("no space left"));
    run("rm /var/lib/carrick/large");
    await_fault(node, None);

    run("for number in $(seq 30); do touch /var/lib/carrick/many-$number; done 2>/dev/null; true");
    await_fault(node, Some("no space left"));
    run("rm /var/lib/carrick/many-*");
    await_fault(node, None);

    run("mount -o remount,ro /var/lib/carrick");
    await_fault(node, Some("read-only"));
    mesh.all_endpoints_reach_each_other();
    run("mount -o remount,rw /var/lib/carrick");
    await_fault(node, None);

    // An agent that starts on a file system without room has the key and the state that are there.
    run("cat /dev/zero >/var/lib/carrick/large 2>/dev/null; true");
    node.kill_agent().unwrap();
    node.start_agent().unwrap();
    node.await_agent().unwrap();
    await_fault(node, Some(""));
    mesh.all_endpoints_reach_each_other();
    run("rm /var/lib/carrick/large");
    await_fault(node, None);
}
