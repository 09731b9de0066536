//! An outside peer reaches pods, and no port of the mesh on any node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command};
use std::time::Duration;

use carrick_lab::capture::Capture;
use carrick_lab::namespace::Namespaces;
use carrick_lab::{binaries, wait};
use carrick_test_apiserver::Resource;
use carrick_topology::Family;
use carrick_topology::constants::{
    HANDOVER_IDENTIFIER, HANDOVER_PORT, PROBE_PORT, VXLAN_IDENTIFIER, VXLAN_PORT, WIREGUARD_DEVICE, WIREGUARD_PORT,
};
use carrick_topology::model::mac_of_node;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};

use crate::frames::{udp_with, vxlan};
use crate::injection::dropped;
use crate::mesh::{Mesh, reaches};
use crate::probe_wire::{Kind, ProbeId, forged};

const CLOUDS: &str = "
agent: {encapsulation: always}
locations:
  - {name: a, nodes: [{name: a1}, {name: a2}]}
  - {name: b, nodes: [{name: b1}]}
";
const NODES: [&str; 3] = ["a1", "a2", "b1"];
/// The node that holds the tunnel to the peer.
const SERVING: &str = "a1";
/// The pods that forged VXLAN is for, each on its node.
const TARGETS: [(&str, &str); 3] = [("a1", "a1-pod1"), ("a2", "a2-pod1"), ("b1", "b1-pod1")];
const MESH_PORTS: [u16; 4] = [WIREGUARD_PORT, PROBE_PORT, VXLAN_PORT, HANDOVER_PORT];
/// A port that is none of the mesh's.
const OTHER_PORT: u16 = 40_007;
/// The port on which targets listen for what comes out of VXLAN.
const POD_PORT: u16 = 9_999;
const TOKEN: [u8; 8] = [0xf0; 8];
const DEVICE: &str = "outside0";
/// Bytes before the IP packet of a frame. The peer's device has no Ethernet.
const ETHERNET: usize = 14;

const fn own(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(172, 30, 0, 1)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfd30, 0, 0, 0, 0, 0, 0, 1)),
    }
}

/// A WireGuard device in the internet, which a `Peer` object describes.
struct OutsidePeer {
    namespaces: Namespaces,
    wireguard: Child,
}

impl OutsidePeer {
    fn connect(mesh: &Mesh) -> Self {
        let internet = mesh.internet();
        let network = internet.make_network("laptop").unwrap();
        let namespaces = internet.namespaces().with_network_of(&network).unwrap();
        run(
            internet.namespaces(),
            "ip link add laptop type veth peer name eth0 netns laptop
             ip address add 198.18.7.1/24 dev laptop
             ip link set laptop up",
        );
        run(
            &namespaces,
            "ip link set lo up
             ip address add 198.18.7.2/24 dev eth0
             ip link set eth0 up
             ip route add default via 198.18.7.1",
        );
        let mut command = Command::new(binaries::find("carrick").unwrap());
        let wireguard = namespaces.spawn(command.args(["--log-level", "warn", "userspace-wireguard", DEVICE])).unwrap();
        let peer = Self { namespaces, wireguard };
        wait::until("the device of the peer", || {
            Ok(peer.namespaces.exec(&["wg", "show", DEVICE, "listen-port"]).ok().map(drop))
        })
        .unwrap();
        peer.configure(mesh);
        peer
    }

    fn configure(&self, mesh: &Mesh) {
        let serving = mesh.node(SERVING).unwrap();
        let node_key = serving.exec(&["wg", "show", WIREGUARD_DEVICE, "public-key"]).unwrap();
        let endpoint = serving.layout().public.of(Family::V4).unwrap();
        let script = format!(
            "umask 077; wg genkey > /run/{DEVICE}.key
             wg set {DEVICE} private-key /run/{DEVICE}.key peer {} endpoint {endpoint}:{WIREGUARD_PORT} \
                persistent-keepalive 1 allowed-ips 0.0.0.0/0,::/0
             ip address add {}/32 dev {DEVICE}
             ip address add {}/128 dev {DEVICE} nodad
             ip link set {DEVICE} up
             ip route add 10.0.0.0/8 dev {DEVICE}
             ip route add fd00::/8 dev {DEVICE}",
            node_key.trim(),
            own(Family::V4),
            own(Family::V6),
        );
        run(&self.namespaces, &script);
        let key = self.namespaces.exec(&["wg", "show", DEVICE, "public-key"]).unwrap();
        let allowed_ips = [format!("{}/32", own(Family::V4)), format!("{}/128", own(Family::V6))];
        let spec = json!({"publicKey": key.trim(), "allowedIPs": allowed_ips, "location": "a"});
        let object = json!({"metadata": {"name": "laptop"}, "spec": spec});
        mesh.kubernetes().embedded().unwrap().create(Resource::Peer, object).unwrap();
    }

    /// Sends a datagram from and to a port into the tunnel, with any source.
    fn send(&self, content: &[u8], source: IpAddr, destination: IpAddr, port: u16) {
        let packet = &udp_with(content, [0; 6], [0; 6], source, destination, port)[ETHERNET..];
        // The packet has its own header (raw(7)).
        let domain = if destination.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let send = || {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(nix::libc::IPPROTO_RAW)))?;
            Ok(socket.send_to(packet, &SocketAddr::new(destination, 0).into())?)
        };
        assert_eq!(self.namespaces.enter(send).unwrap(), packet.len());
    }
}

impl Drop for OutsidePeer {
    fn drop(&mut self) {
        let _ = self.wireguard.kill();
        let _ = self.wireguard.wait();
    }
}

pub fn run(inside: &Namespaces, script: &str) {
    inside.exec(&["sh", "-ec", script]).unwrap();
}

fn socket(inside: &Namespaces, address: IpAddr, port: u16) -> UdpSocket {
    let socket = inside.enter(|| Ok(UdpSocket::bind((address, port))?)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

fn is_silent(socket: &UdpSocket) -> bool {
    socket.recv_from(&mut [0; 256]).is_err()
}

/// The internal and mesh addresses of a node, of one family.
fn node_addresses(mesh: &Mesh, node: &str, family: Family) -> Vec<IpAddr> {
    let in_mesh: Vec<IpAddr> = serde_json::from_value(mesh.status(node)["plan"]["mesh_addresses"].clone()).unwrap();
    let is_family = |address: &IpAddr| Family::of(address) == family;
    let in_mesh = in_mesh.into_iter().filter(is_family);
    std::iter::once(mesh.internal_address(node, family)).chain(in_mesh).collect()
}

/// What an attacker sends to a port of the mesh on a node.
fn crafted(mesh: &Mesh, node: &str, port: u16, family: Family) -> Vec<u8> {
    let identifier = match port {
        VXLAN_PORT => VXLAN_IDENTIFIER,
        HANDOVER_PORT => HANDOVER_IDENTIFIER,
        _ => return forged(Kind::Probe, 0, ProbeId { token: TOKEN, sequence: [0x10; 8] }),
    };
    let (_, pod) = TARGETS.into_iter().find(|(target, _)| *target == node).unwrap();
    let (to, pod) = (mac_of_node(&node.parse().unwrap()).0, mesh.pod_address(pod, family));
    let source = mesh.pod_address("b1-pod1", family);
    vxlan(identifier, &udp_with(b"forged", [2, 0, 0, 0, 0, 1], to, source, pod, POD_PORT))
}

#[test]
fn an_outside_peer_reaches_no_port_of_the_mesh_on_any_node() {
    let mesh = Mesh::up(CLOUDS);
    mesh.all_reach();
    let peer = OutsidePeer::connect(&mesh);
    for (_, pod) in TARGETS {
        for family in Family::BOTH {
            assert!(reaches(&peer.namespaces, mesh.pod_address(pod, family)), "{pod} over {family}");
        }
    }
    let in_pods: Vec<_> = TARGETS
        .iter()
        .flat_map(|(_, pod)| Family::BOTH.map(|family| (pod, mesh.pod_address(pod, family))))
        .map(|(pod, address)| socket(mesh.pod(pod).unwrap().namespaces(), address, POD_PORT))
        .collect();
    // On the serving node, the packets are to be seen where they come out of the tunnel.
    let is_forged = "(udp[16:4] = 0xf0f0f0f0 or ip6[56:4] = 0xf0f0f0f0)";
    let captures = ["a2", "b1"].map(|node| Capture::start(&mesh.node_namespaces(node), "any", is_forged).unwrap());
    let before = dropped(&mesh, SERVING, "mesh port from outside the nodes");
    // A node may have probed this one before this one knew it.
    let refused =
        || mesh.metric(SERVING, r#"carrick_probe_packets_refused_total{reason="unknown-address"}"#).unwrap_or(0.0);
    let refused_before = refused();
    let mut own_sources = 0;
    for node in NODES {
        for family in Family::BOTH {
            for address in node_addresses(&mesh, node, family) {
                let receiver = socket(&mesh.node_namespaces(node), address, OTHER_PORT);
                peer.send(b"ordinary", own(family), address, OTHER_PORT);
                assert!(!is_silent(&receiver), "another port of {node} at {address}");
                for port in MESH_PORTS {
                    let content = crafted(&mesh, node, port, family);
                    peer.send(&content, own(family), address, port);
                    own_sources += 1;
                    // Cryptokey routing takes only the peer's own sources.
                    let other = if node == "b1" { "a2" } else { "b1" };
                    for source in node_addresses(&mesh, other, family) {
                        peer.send(&content, source, address, port);
                    }
                    peer.send(&content, mesh.pod_address("b1-pod1", family), address, port);
                }
                // It came after the others, by the same way.
                peer.send(b"ordinary", own(family), address, OTHER_PORT);
                assert!(!is_silent(&receiver), "another port of {node} at {address}");
            }
        }
    }
    assert_eq!(dropped(&mesh, SERVING, "mesh port from outside the nodes") - before, own_sources);
    assert!(in_pods.iter().all(is_silent), "a pod received what came in VXLAN");
    for capture in captures {
        assert_eq!(capture.stop().unwrap(), [""; 0]);
    }
    for node in NODES {
        assert_eq!(mesh.status(node)["liveness"]["down"], json!([]), "{node}");
    }
    let counted = r#"carrick_dropped_packets_total{reason="mesh-port-from-outside"}"#;
    assert!(mesh.metric(SERVING, counted).unwrap_or(0.0) >= own_sources as f64);
    assert_eq!(refused(), refused_before, "a probe of the peer arrived at the agent");
}
