//! Nodes whose internal address is on a device that leads to no other host, as where the hosts speak BGP: other nodes reach it by the uplinks.

use carrick_lab::wait;

use crate::mesh::{Mesh, all_reach};

/// A device that carries an internal address and leads to no other host.
struct Device {
    name: &'static str,
    /// How it is made.
    commands: &'static [&'static str],
    /// The prefix length of the address on it.
    length: u8,
}

/// The devices of the nodes, in their order.
const DEVICES: [Device; 3] = [
    Device { name: "lo", commands: &[], length: 32 },
    Device { name: "br-loop", commands: &["link add br-loop type bridge", "link set br-loop up"], length: 32 },
    Device { name: "node0", commands: &["link add node0 type bridge", "link set node0 up"], length: 24 },
];

const NODES: [&str; 3] = ["a1", "a2", "a3"];

/// The internal address of a node.
fn loopback(node: &str) -> String {
    format!("10.99.0.{}", &node[1..])
}

/// Nodes of one location, each with its internal address on another kind of device, and a node of another location.
fn mesh(encapsulation: &str) -> Mesh {
    let nodes = NODES.map(|node| {
        format!("{{name: {node}, annotations: {{carrick.dev/internal-addresses: {}/32}}}}", loopback(node))
    });
    let mesh = Mesh::up(&format!(
        "
agent: {{encapsulation: {encapsulation}}}
locations:
  - {{name: a, families: v4, nodes: [{}]}}
  - {{name: b, families: v4, nodes: [{{name: b1}}]}}
",
        nodes.join(", ")
    ));
    for (node, Device { name, commands, length }) in NODES.into_iter().zip(DEVICES) {
        let ip = |arguments: &str| {
            let command: Vec<&str> = ["ip"].into_iter().chain(arguments.split(' ')).collect();
            mesh.node_namespaces(node).exec(&command).unwrap();
        };
        commands.iter().copied().for_each(ip);
        ip(&format!("address add {}/{length} dev {name}", loopback(node)));
        for other in NODES.into_iter().filter(|other| *other != node) {
            let via = mesh.internal_address(other, carrick_topology::Family::V4);
            ip(&format!("route add {}/32 via {via} dev eth0 proto bgp src {}", loopback(other), loopback(node)));
        }
    }
    mesh
}

/// All pods reach each other, and no agent blames a neighbour.
fn works(mesh: &Mesh) {
    for (node, device) in NODES.into_iter().zip(DEVICES) {
        wait::until("the device of the internal address", || {
            let devices = mesh.status(node)["settings"]["local"]["unattached_devices"].clone();
            Ok((devices == serde_json::json!([device.name])).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{node}: {error:#}"));
    }
    all_reach(&mesh.pods_only());
    for node in NODES {
        assert!(mesh.warnings(node).is_empty(), "{node}: {:?}", mesh.warnings(node));
        let local = &mesh.status(node)["settings"]["local"];
        assert_eq!(local["internal_mtus"]["v4"].as_u64(), Some(1500), "{node}: {local}");
    }
}

#[test]
fn vxlan_leaves_by_the_uplinks() {
    works(&mesh("always"));
}

#[test]
fn lone_addresses_are_in_no_subnet_and_packets_go_in_vxlan() {
    works(&mesh("cross-subnet"));
}

#[test]
fn without_vxlan_every_node_says_that_no_subnet_is_shared() {
    let mesh = mesh("never");
    for node in NODES {
        wait::until("the warning", || {
            let is_said = |warning: &String| warning.contains("shares no subnet");
            Ok((mesh.warnings(node).iter().filter(|warning| is_said(warning)).count() >= 2).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{node}: {error:#}: {:?}", mesh.warnings(node)));
    }
}
