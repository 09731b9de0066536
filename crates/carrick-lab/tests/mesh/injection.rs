//! A pod cannot put packets into other nodes through the ports of the mesh.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use carrick_lab::namespace::Namespaces;
use carrick_lab::wait;
use carrick_topology::Family;
use carrick_topology::constants::{VXLAN_IDENTIFIER, VXLAN_PORT};
use carrick_topology::model::mac_of_node;

use crate::mesh::Mesh;

const CLOUDS: &str = "
agent: {encapsulation: always}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}]}
  - {name: b, nodes: [{name: b1}]}
";
/// The port on which the target pod listens.
const PORT: u16 = 9999;
/// A source that no pod has.
const FORGED: Ipv4Addr = Ipv4Addr::new(10, 99, 9, 9);

/// A datagram in VXLAN (RFC 7348 §5) for the VXLAN device of a node: Ethernet, IPv4 and UDP around `payload`.
fn vxlan_packet(node: &str, target: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let udp_bytes = u16::try_from(8 + payload.len()).unwrap();
    let mut ip = vec![0x45, 0];
    ip.extend((20 + udp_bytes).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(FORGED.octets());
    ip.extend(target.octets());
    let sum = ip.chunks_exact(2).fold(0_u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let folded = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()).to_be_bytes());

    let mut packet = vec![8, 0, 0, 0];
    packet.extend((VXLAN_IDENTIFIER << 8).to_be_bytes());
    packet.extend(mac_of_node(&node.parse().unwrap()).0);
    packet.extend([2, 0, 0, 0, 0, 1, 8, 0]);
    packet.extend(ip);
    packet.extend([PORT.to_be_bytes(), PORT.to_be_bytes(), udp_bytes.to_be_bytes(), [0, 0]].concat());
    packet.extend(payload);
    packet
}

fn send(from: &Namespaces, packet: &[u8], to: SocketAddr) {
    let sent = from.enter(|| Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?.send_to(packet, to)?));
    assert_eq!(sent.unwrap(), packet.len());
}

/// How many packets the rule with this comment has dropped on a node.
pub fn dropped(mesh: &Mesh, node: &str, comment: &str) -> u64 {
    let table = mesh.node_namespaces(node).exec(&["nft", "list", "table", "inet", "carrick"]).unwrap();
    let rules = table.lines().filter(|line| line.contains(&format!("comment \"{comment}\"")));
    let packets = |line: &str| line.split_once("packets ")?.1.split_once(' ')?.0.parse::<u64>().ok();
    rules.filter_map(packets).sum()
}

#[test]
fn a_pod_cannot_inject_packets_into_another_node_through_vxlan() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let IpAddr::V4(target) = mesh.pod_address("a2-pod1", Family::V4) else { panic!("IPv4") };
    let vxlan = SocketAddr::new(mesh.internal_address("a2", Family::V4), VXLAN_PORT);
    let bind = || Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?);
    let receiver = mesh.pod("a2-pod1").unwrap().namespaces().enter(bind).unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();

    for pod in ["a1-pod1", "b1-pod1", "a2-pod1"] {
        send(mesh.pod(pod).unwrap().namespaces(), &vxlan_packet("a2", target, b"forged"), vxlan);
    }
    for node in ["a1", "b1"] {
        wait::until("the node of the pod drops the packet", || {
            Ok((dropped(&mesh, node, "mesh port from a pod") > 0).then_some(()))
        })
        .unwrap();
    }

    // The packet is good: a node of the location may send it.
    send(&mesh.node_namespaces("a1"), &vxlan_packet("a2", target, b"genuine"), vxlan);
    let mut buffer = [0; 64];
    let mut receive =
        || receiver.recv_from(&mut buffer).map(|(length, source)| (buffer[..length].to_vec(), source.ip()));
    assert_eq!(receive().unwrap(), (b"genuine".to_vec(), IpAddr::V4(FORGED)));
    assert!(receive().is_err(), "a second packet has arrived");
}
