//! Who may send VXLAN to this node.

use crate::namespace::{Namespace, at_port, is_silent, source_seen};
use crate::network::{INTERNET, NEIGHBOUR, NODE, Network, address, in_both, plan};

const VXLAN_PORT: u16 = 51822;

#[test]
fn vxlan_is_accepted_from_nodes_of_the_location_only() {
    let mut network = Network::guarded();
    for (node, neighbour) in in_both(NODE, NEIGHBOUR) {
        let receiver = network.node.socket_at(node, VXLAN_PORT);
        assert_eq!(source_seen(&network.outside.socket(neighbour), &receiver), address(neighbour));
    }
    for (node, stranger) in in_both(NODE, INTERNET) {
        let receiver = network.node.socket_at(node, VXLAN_PORT);
        network.outside.socket(stranger).send_to(b"x", at_port(node, VXLAN_PORT)).unwrap();
        assert!(is_silent(&receiver));
        let elsewhere = network.node.socket(node);
        assert_eq!(source_seen(&network.outside.socket(stranger), &elsewhere), address(stranger), "another port");
    }
    assert_eq!(network.counted("VXLAN from outside the location"), 2);

    let mut alone = plan();
    alone.vxlan_sources.clear();
    network.apply(&alone);
    let receiver = network.node.socket_at(NODE.0, VXLAN_PORT);
    network.outside.socket(NEIGHBOUR.0).send_to(b"x", at_port(NODE.0, VXLAN_PORT)).unwrap();
    assert!(is_silent(&receiver), "a node that is alone in its location accepts none");
}

/// What an ICMP error quotes.
#[derive(Clone, Copy, Debug)]
enum Quoted {
    /// A UDP packet between these ports.
    Udp { from: u16, to: u16 },
    /// A UDP packet to this port, with options in the header of IPv4.
    UdpWithOptions { to: u16 },
    /// An answer to an echo request.
    Echo,
    /// A UDP packet to this port, behind such a header of IPv6: hop-by-hop options, fragment, authentication.
    UdpBehind { header: u8, to: u16 },
}

fn udp_header(from: u16, to: u16) -> Vec<u8> {
    from.to_be_bytes().into_iter().chain(to.to_be_bytes()).chain([0x05, 0x64, 0, 0]).collect()
}

impl Quoted {
    /// The error by which the path to `NEIGHBOUR` takes 600 bytes.
    fn too_big_v4(self) -> Vec<u8> {
        let (words, protocol, payload): (u8, u8, Vec<u8>) = match self {
            Self::Udp { from, to } => (5, 17, udp_header(from, to)),
            Self::UdpWithOptions { to } => (6, 17, udp_header(40000, to)),
            Self::Echo => (5, 1, vec![0, 0, 0, 0, 0, 7, 0, 1]),
            Self::UdpBehind { .. } => unreachable!("IPv4 has no such headers"),
        };
        let mut message = vec![3, 4, 0, 0, 0, 0, 0x02, 0x58];
        message.extend([0x40 | words, 0, 0x05, 0x78, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 2, 192, 0, 2, 3]);
        message.extend(vec![1; usize::from(words - 5) * 4]);
        message.extend(payload);
        message.resize(message.len() + 16, 0);
        let sum: u32 = message.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let checksum = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap();
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        message
    }

    /// The error by which the path to `NEIGHBOUR` takes 1280 bytes. The kernel adds the checksum.
    fn too_big_v6(self) -> Vec<u8> {
        let (header, payload): (u8, Vec<u8>) = match self {
            Self::Udp { from, to } => (17, udp_header(from, to)),
            Self::Echo => (58, vec![129, 0, 0, 0, 0, 7, 0, 1]),
            Self::UdpBehind { header: 51, to } => {
                (51, [vec![17, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1], udp_header(40000, to)].concat())
            }
            Self::UdpBehind { header, to } => (header, [vec![17, 0, 0, 0, 0, 0, 0, 0], udp_header(40000, to)].concat()),
            Self::UdpWithOptions { .. } => unreachable!("IPv6 has its options behind the header"),
        };
        let mut message = vec![2, 0, 0, 0, 0, 0, 0x05, 0x00, 0x60, 0, 0, 0, 0x05, 0x78, header, 64];
        for end in [NODE.1, NEIGHBOUR.1] {
            message.extend(end.parse::<std::net::Ipv6Addr>().unwrap().octets());
        }
        message.extend(payload);
        message.resize(message.len() + 16, 0);
        message
    }
}

fn send(from: &Namespace, to: &str, family: (&str, u8), message: &[u8]) {
    let arguments: String = message.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let (name, protocol) = family;
    let script = format!(
        "import socket; s=socket.socket(socket.{name},socket.SOCK_RAW,{protocol}); s.sendto(b'{arguments}',('{to}',0))"
    );
    from.command("python3", &["-c", &script], "");
}

#[test]
fn a_forged_message_does_not_make_packets_of_the_mesh_small() {
    let network = Network::guarded();
    // The kernel takes messages only about packets of a socket that exists.
    let _senders = [40000, 51820, 51821].map(|port| network.node.socket_at("0.0.0.0", port));
    let path = || network.node.command("ip", &["-4", "route", "get", NEIGHBOUR.0], "");
    let forged = [
        (&network.outside, Quoted::Udp { from: 40000, to: 51822 }),
        (&network.outside, Quoted::UdpWithOptions { to: 51822 }),
        (&network.outside, Quoted::Udp { from: 40000, to: 51821 }),
        (&network.outside, Quoted::Udp { from: 51821, to: 53 }),
        (&network.outside, Quoted::Echo),
        (&network.pod, Quoted::Udp { from: 40000, to: 51822 }),
        (&network.pod, Quoted::Udp { from: 40000, to: 51820 }),
        (&network.pod, Quoted::Udp { from: 51820, to: 53 }),
        (&network.pod, Quoted::Echo),
    ];
    for (from, quoted) in forged {
        send(from, NODE.0, ("AF_INET", 1), &quoted.too_big_v4());
        assert!(!path().contains("mtu"), "{quoted:?}: {}", path());
    }
    assert_eq!(network.counted("path MTU of the mesh by ICMP"), 9);
    send(&network.outside, NODE.0, ("AF_INET", 1), &Quoted::Udp { from: 40000, to: 51820 }.too_big_v4());
    assert!(path().contains("mtu 600"), "a real path may need these: {}", path());
}

#[test]
fn a_forged_message_of_ipv6_does_not_make_packets_of_the_mesh_small() {
    let network = Network::guarded();
    let _senders = [40000, 51820, 51821].map(|port| network.node.socket_at("::", port));
    let path = || network.node.command("ip", &["-6", "route", "get", NEIGHBOUR.1], "");
    let forged = [
        (&network.outside, Quoted::Udp { from: 40000, to: 51821 }),
        (&network.outside, Quoted::Udp { from: 51821, to: 53 }),
        (&network.outside, Quoted::UdpBehind { header: 0, to: 51821 }),
        (&network.outside, Quoted::Echo),
        (&network.pod, Quoted::Udp { from: 40000, to: 51820 }),
        (&network.pod, Quoted::UdpBehind { header: 44, to: 51821 }),
        (&network.pod, Quoted::UdpBehind { header: 51, to: 51821 }),
        (&network.pod, Quoted::Echo),
    ];
    for (from, quoted) in forged {
        send(from, NODE.1, ("AF_INET6", 58), &quoted.too_big_v6());
        assert!(!path().contains("mtu"), "{quoted:?}: {}", path());
    }
    assert_eq!(network.counted("path MTU of the mesh by ICMP"), 8);
    send(&network.outside, NODE.1, ("AF_INET6", 58), &Quoted::Udp { from: 40000, to: 51820 }.too_big_v6());
    assert!(path().contains("mtu 1280"), "a real path may need these: {}", path());
}
