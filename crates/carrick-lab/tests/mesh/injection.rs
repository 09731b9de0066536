//! Crafted packets of pods, of hosts on a location's network and of hosts on the internet reach no pod, in each granularity and
//! encapsulation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use carrick_lab::namespace::Namespaces;
use carrick_lab::wait;
use carrick_topology::Family;
use carrick_topology::constants::{HANDOVER_IDENTIFIER, HANDOVER_PORT, VXLAN_IDENTIFIER, VXLAN_PORT};
use carrick_topology::model::mac_of_node;

use crate::frames::{Mac, udp_with, vxlan};
use crate::mesh::Mesh;
use crate::spoofing::{gateway_mac, mac_of, send_frames_by};

/// The port on which the target listens.
pub const PORT: u16 = 9999;
/// The node of the target, and the target.
pub const NODE: &str = "a2";
pub const TARGET: &str = "a2-pod1";
/// A sender of frames inside of VXLAN.
const SOME_MAC: Mac = [2, 0, 0, 0, 0, 1];

pub fn clouds(granularity: &str, encapsulation: &str) -> String {
    format!(
        "
agent: {{granularity: {granularity}, encapsulation: {encapsulation}}}
locations:
  - {{name: a, nodes: [{{name: a1}}, {{name: a2}}]}}
  - {{name: b, nodes: [{{name: b1}}]}}
"
    )
}

/// A source that no pod has.
const fn forged(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(10, 99, 9, 9)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd99, 0xbad, 0, 0, 0, 0, 0, 9)),
    }
}

const fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// Sends a datagram from an ordinary socket. A host without a route to the target sends nothing.
pub fn send(from: &Namespaces, content: &[u8], to: SocketAddr) {
    let family = Family::of(&to.ip());
    let send = || Ok(UdpSocket::bind((unspecified(family), 0))?.send_to(content, to).is_ok());
    from.enter(send).unwrap();
}

/// A packet to the target in VXLAN for its node.
fn in_vxlan(mesh: &Mesh, identifier: u32, family: Family, content: &str) -> Vec<u8> {
    let (to, target) = (mac_of_node(&NODE.parse().unwrap()).0, mesh.pod_address(TARGET, family));
    vxlan(identifier, &udp_with(content.as_bytes(), SOME_MAC, to, forged(family), target, PORT))
}

/// Sends VXLAN to all addresses of the target's node, as an ordinary program can.
pub fn send_vxlan(mesh: &Mesh, who: &str, from: &Namespaces) {
    let layout = mesh.node(NODE).unwrap().layout();
    let mesh_addresses: Vec<IpAddr> =
        serde_json::from_value(mesh.status(NODE)["plan"]["mesh_addresses"].clone()).unwrap();
    assert_eq!(mesh_addresses.len(), 2);
    let addresses = [layout.internal.list(), layout.public.list(), mesh_addresses].concat();
    for (port, identifier) in [(VXLAN_PORT, VXLAN_IDENTIFIER), (HANDOVER_PORT, HANDOVER_IDENTIFIER)] {
        for address in &addresses {
            for family in Family::BOTH {
                let content = format!("{family} in VXLAN from {who} to {address}, port {port}");
                send(from, &in_vxlan(mesh, identifier, family, &content), SocketAddr::new(*address, port));
            }
        }
    }
}

/// Sends packets with the sources of other pods, of nodes, and of no host at all, as a program with raw sockets can.
fn send_forged_sources(mesh: &Mesh, who: &str, from: &Namespaces, interface: &str, gateway: Mac, sources: &[IpAddr]) {
    let own = mac_of(from, interface);
    for source in sources {
        let content = format!("plain from {who} with the source {source}");
        let target = mesh.pod_address(TARGET, Family::of(source));
        let frame = udp_with(content.as_bytes(), own, gateway, *source, target, PORT);
        send_frames_by(from, interface, &[("forged", frame)]);
    }
}

/// Sockets of a pod at these ports, in both families.
pub fn pod_sockets(mesh: &Mesh, pod: &str, ports: &[u16]) -> Vec<UdpSocket> {
    let bind = |family, port| {
        let bind = || Ok(UdpSocket::bind((mesh.pod_address(pod, family), port))?);
        let socket = mesh.pod(pod).unwrap().namespaces().enter(bind).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket
    };
    Family::BOTH.into_iter().flat_map(|family| ports.iter().map(move |port| bind(family, *port))).collect()
}

/// What has arrived. The sockets wait up to 200 ms for a packet.
pub fn received(sockets: &[UdpSocket]) -> Vec<String> {
    let mut buffer = [0; 256];
    let mut all = Vec::new();
    for socket in sockets {
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            all.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
    all
}

/// How many packets the rule with this comment has dropped on a node.
pub fn dropped(mesh: &Mesh, node: &str, comment: &str) -> u64 {
    let table = mesh.node_namespaces(node).exec(&["nft", "list", "table", "inet", "carrick"]).unwrap();
    let rules = table.lines().filter(|line| line.contains(&format!("comment \"{comment}\"")));
    let packets = |line: &str| line.split_once("packets ")?.1.split_once(' ')?.0.parse::<u64>().ok();
    rules.filter_map(packets).sum()
}

fn crafted_packets_reach_no_pod(granularity: &str, encapsulation: &str) {
    let mesh = Mesh::up(&clouds(granularity, encapsulation));
    mesh.all_reach();
    let sockets = pod_sockets(&mesh, TARGET, &[PORT, VXLAN_PORT]);

    for pod in ["a1-pod1", "b1-pod1"] {
        let from = mesh.pod(pod).unwrap().namespaces();
        send_vxlan(&mesh, pod, from);
        let other = if pod == "a1-pod1" { "b1-pod1" } else { "a1-pod1" };
        let sources = Family::BOTH
            .map(|family| [forged(family), mesh.pod_address(other, family), mesh.internal_address("a1", family)]);
        send_forged_sources(&mesh, pod, from, "eth0", gateway_mac(from), sources.as_flattened());
    }
    let site = mesh.site("a").unwrap();
    send_vxlan(&mesh, "the location's network", site.router());
    send_vxlan(&mesh, "the internet", mesh.internet().namespaces());
    let (bridge, node_mac) = (&site.layout().lans[0].bridge, mac_of(&mesh.node_namespaces(NODE), "eth0"));
    // Packets that may come without encapsulation cannot be told from those of a host in the location's network.
    let never_plain: &[&str] = match (granularity, encapsulation) {
        ("full", _) | (_, "always") => &["a1-pod1", "b1-pod1"],
        ("cross", _) => &["b1-pod1"],
        _ => &[],
    };
    let pods = never_plain.iter().flat_map(|pod| Family::BOTH.map(|family| mesh.pod_address(pod, family)));
    let pods: Vec<IpAddr> = pods.collect();
    send_forged_sources(&mesh, "the location's network", site.router(), bridge, node_mac, &pods);

    // Ordinary packets of the same pods arrive, and a node of the location may send VXLAN where the location uses it.
    let mut expected = Vec::new();
    for family in Family::BOTH {
        for pod in ["a1-pod1", "b1-pod1"] {
            // Pods may use the ports of the mesh among themselves.
            for port in [PORT, VXLAN_PORT] {
                let content = format!("{family} of {pod} to port {port}");
                let to = SocketAddr::new(mesh.pod_address(TARGET, family), port);
                send(mesh.pod(pod).unwrap().namespaces(), content.as_bytes(), to);
                expected.push(content);
            }
        }
        if encapsulation == "always" && granularity != "full" {
            let content = format!("{family} of the node a1 in VXLAN");
            let vxlan = SocketAddr::new(mesh.internal_address(NODE, Family::V4), VXLAN_PORT);
            send(&mesh.node_namespaces("a1"), &in_vxlan(&mesh, VXLAN_IDENTIFIER, family, &content), vxlan);
            expected.push(content);
        }
    }
    let mut arrived = received(&sockets);
    arrived.sort();
    expected.sort();
    assert_eq!(arrived, expected, "{granularity}, {encapsulation}");
    assert_eq!(dropped(&mesh, NODE, "mesh source by another device") > 0, !pods.is_empty());
    for node in ["a1", "b1"] {
        wait::until("the node of the pod counts what it drops", || {
            Ok((dropped(&mesh, node, "mesh port from a pod") > 0).then_some(()))
        })
        .unwrap();
    }
}

#[test]
fn crafted_packets_reach_no_pod_in_location() {
    for encapsulation in ["always", "cross-subnet", "never"] {
        crafted_packets_reach_no_pod("location", encapsulation);
    }
}

#[test]
fn crafted_packets_reach_no_pod_in_cross() {
    for encapsulation in ["always", "cross-subnet", "never"] {
        crafted_packets_reach_no_pod("cross", encapsulation);
    }
}

#[test]
fn crafted_packets_reach_no_pod_in_full() {
    for encapsulation in ["always", "cross-subnet", "never"] {
        crafted_packets_reach_no_pod("full", encapsulation);
    }
}
