//! Another program changes what the host has for its pods in a way that the agent cannot undo: a fault says so until it can.

use carrick_lab::node::Node;
use carrick_lab::wait;

use crate::mesh::Mesh;

const ONE_NODE: &str = "locations: [{name: a, nodes: [{name: a1, pods: 2}]}]";

/// The destinations of the plugin's IPv4 routes to pods.
fn pod_routes(node: &Node) -> Vec<String> {
    let shown = node.exec(&["ip", "-4", "route", "show", "proto", "108"]).unwrap();
    shown.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Waits until the body of `/readyz` contains this text, or until it does not. The node is ready meanwhile.
fn await_readyz(node: &Node, text: &str, is_there: bool) {
    wait::until(text, || {
        node.check_agent()?;
        let page = node.agent_page("/readyz")?;
        assert_eq!(page.status, 200, "{}", page.body);
        Ok((page.body.contains(text) == is_there).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_route_that_cannot_be_restored_is_a_fault_until_it_can() {
    let mesh = Mesh::up(ONE_NODE);
    let node = mesh.node("a1").unwrap();
    let before = pod_routes(node);
    let fault = "routes or devices of pods on this node cannot be restored";
    await_readyz(node, fault, false);

    node.exec(&["ip", "route", "replace", "blackhole", &before[0]]).unwrap();
    await_readyz(node, fault, true);
    node.exec(&["ip", "route", "delete", "blackhole", &before[0]]).unwrap();
    await_readyz(node, fault, false);
    assert_eq!(pod_routes(node), before);
}

#[test]
fn a_firewall_of_pods_that_cannot_be_restored_is_a_fault_until_it_can() {
    let mesh = Mesh::up(ONE_NODE);
    let node = mesh.node("a1").unwrap();
    let fault = "the nftables table of the CNI plugin cannot be restored";
    await_readyz(node, fault, false);

    // A table with an owner ends with the process that made it.
    let take = "mkfifo /run/commands; nft -i </run/commands >/dev/null 2>&1 & \
                sleep 1000 >/run/commands 2>/dev/null & echo $! >/run/holder; \
                echo 'delete table inet carrick-cni; add table inet carrick-cni { flags owner; }' >/run/commands";
    node.exec(&["sh", "-c", take]).unwrap();
    await_readyz(node, fault, true);
    node.exec(&["sh", "-c", "kill $(cat /run/holder)"]).unwrap();
    await_readyz(node, fault, false);
    let table = node.exec(&["nft", "list", "table", "inet", "carrick-cni"]).unwrap();
    assert!(!table.contains("owner"), "{table}");
}
