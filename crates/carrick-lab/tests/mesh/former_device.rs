//! An agent that starts with another `--interface`: the device of before keeps the UDP port, so that it must go.

use carrick_lab::agent::AgentOptions;
use carrick_lab::{binaries, wait};

use crate::mesh::Mesh;

const PAIR: &str = "
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}]}
  - {name: b, nodes: [{name: b1}]}
";

/// Starts the agent of a1 with this name of the WireGuard device.
fn restart_with(mesh: &Mesh, interface: &str) {
    let node = mesh.node("a1").unwrap();
    node.stop_agent().unwrap();
    let flags = vec![format!("--interface={interface}")];
    node.start_agent_with(AgentOptions { flags, ..AgentOptions::default() }).unwrap();
    mesh.await_agents();
}

/// The device is the only one of WireGuard, no route leads to the other one, and all nodes and pods reach each other.
fn has_moved(mesh: &Mesh, from: &str, to: &str) {
    let node = mesh.node("a1").unwrap();
    mesh.all_reach();
    let links = node.exec(&["ip", "-brief", "link"]).unwrap();
    let names: Vec<&str> = links.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&to) && !names.contains(&from), "{links}");
    let routes = node.exec(&["ip", "route", "show", "table", "1107"]).unwrap();
    assert!(routes.contains(&format!("dev {to} ")) && !routes.contains(&format!("dev {from} ")), "{routes}");
    let table = node.exec(&["nft", "list", "table", "inet", "carrick"]).unwrap();
    assert!(!table.contains(&format!("\"{from}\"")), "{table}");
    let removed = mesh.logged("a1", "former_device_removed");
    assert!(removed.last().is_some_and(|line| line.contains(from)), "{removed:?}");
}

#[test]
fn a_device_of_another_name_replaces_the_former_one() {
    let mesh = Mesh::up(PAIR);
    mesh.all_reach();
    for (from, to) in [("carrick0", "mesh0"), ("mesh0", "wg-mesh"), ("wg-mesh", "carrick0")] {
        restart_with(&mesh, to);
        has_moved(&mesh, from, to);
    }
}

#[test]
fn wireguard_of_another_program_stays() {
    let mesh = Mesh::up(PAIR);
    let node = mesh.node("a1").unwrap();
    let program = binaries::find("carrick").unwrap();
    let start = format!("{} userspace-wireguard vpn0 >/dev/null 2>&1 &", program.display());
    node.exec(&["sh", "-c", &start]).unwrap();
    let configure = "wg genkey >/run/vpn0.key && wg set vpn0 private-key /run/vpn0.key listen-port 51999";
    wait::until("the other program's WireGuard", || Ok(node.exec(&["sh", "-c", configure]).ok())).unwrap();
    restart_with(&mesh, "mesh0");
    has_moved(&mesh, "carrick0", "mesh0");
    assert_eq!(node.exec(&["wg", "show", "vpn0", "listen-port"]).unwrap().trim(), "51999");
}
