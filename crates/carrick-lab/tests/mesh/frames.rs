//! Ethernet frames as a program with a raw socket makes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub type Mac = [u8; 6];

const BROADCAST: Mac = [0xff; 6];
/// The MAC address of all nodes, `ff02::1` (RFC 2464 §7).
const ALL_NODES_MAC: Mac = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Whom a forged ARP reply claims to be.
pub struct ArpReply {
    pub mac: Mac,
    pub address: Ipv4Addr,
}

fn ethernet(from: Mac, to: Mac, kind: u16, content: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), content].concat()
}

/// The checksum of RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap().to_be_bytes()
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, content: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + content.len()).unwrap().to_be_bytes();
    let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, protocol, 0, 0];
    header.extend(source.octets());
    header.extend(destination.octets());
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    [header, content.to_vec()].concat()
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, hops: u8, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(length(content));
    header.extend([next, hops]);
    header.extend(source.octets());
    header.extend(destination.octets());
    [header, content.to_vec()].concat()
}

/// The content with its checksum, which covers the IPv6 addresses too (RFC 8200 §8.1), at this offset.
fn with_checksum(source: Ipv6Addr, destination: Ipv6Addr, next: u8, mut content: Vec<u8>, at: usize) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap().to_be_bytes();
    let pseudo = [&source.octets()[..], &destination.octets(), &size, &[0, 0, 0, next], &content].concat();
    let sum = checksum(&pseudo);
    content[at..at + 2].copy_from_slice(&sum);
    content
}

fn datagram(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let total = u16::try_from(8 + payload.len()).unwrap();
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &total.to_be_bytes(), &[0, 0], payload].concat()
}

/// A UDP packet from and to this port.
pub fn udp(from: Mac, to: Mac, source: IpAddr, destination: IpAddr, port: u16) -> Vec<u8> {
    udp_with(b"from a raw socket", from, to, source, destination, port)
}

/// A UDP packet with this content, from and to this port.
pub fn udp_with(content: &[u8], from: Mac, to: Mac, source: IpAddr, destination: IpAddr, port: u16) -> Vec<u8> {
    let content = datagram(port, port, content);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet(from, to, 0x0800, &ipv4(source, destination, UDP, &content))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let content = with_checksum(source, destination, UDP, content, 6);
            ethernet(from, to, 0x86dd, &ipv6(source, destination, UDP, 64, &content))
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// A TCP segment (RFC 9293 §3.1) from the middle of a connection between these ports, without data.
pub fn tcp_acknowledgement(from: Mac, to: Mac, source: (IpAddr, u16), destination: (IpAddr, u16)) -> Vec<u8> {
    const ACKNOWLEDGEMENT: u8 = 0x10;
    let mut segment = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, ACKNOWLEDGEMENT, 0x20, 0, 0, 0, 0, 0]);
    match (source.0, destination.0) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let size = u16::try_from(segment.len()).unwrap().to_be_bytes();
            let pseudo = [&source.octets()[..], &destination.octets(), &[0, TCP], &size, &segment].concat();
            let sum = checksum(&pseudo);
            segment[16..18].copy_from_slice(&sum);
            ethernet(from, to, 0x0800, &ipv4(source, destination, TCP, &segment))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let segment = with_checksum(source, destination, TCP, segment, 16);
            ethernet(from, to, 0x86dd, &ipv6(source, destination, TCP, 64, &segment))
        }
        (source, destination) => panic!("{source} and {destination} are of two families"),
    }
}

/// A frame in VXLAN (RFC 7348 §5), as the content of a datagram.
pub fn vxlan(identifier: u32, frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0][..], &(identifier << 8).to_be_bytes(), frame].concat()
}

/// A gratuitous ARP reply (RFC 5227 §3) to everybody on the link.
pub fn arp_reply(from: Mac, claim: &ArpReply) -> Vec<u8> {
    let mut content = vec![0, 1, 8, 0, 6, 4, 0, 2];
    for _ in ["sender", "target"] {
        content.extend(claim.mac);
        content.extend(claim.address.octets());
    }
    ethernet(from, BROADCAST, 0x0806, &content)
}

/// An ARP request (RFC 826) for the MAC address of `target`.
pub fn arp_request(from: Mac, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut content = vec![0, 1, 8, 0, 6, 4, 0, 1];
    content.extend(from);
    content.extend(source.octets());
    content.extend([0; 6]);
    content.extend(target.octets());
    ethernet(from, BROADCAST, 0x0806, &content)
}

/// A neighbour solicitation (RFC 4861 §4.3) for the MAC address of `target`.
pub fn neighbour_solicitation(from: Mac, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([1, 1]);
    message.extend(from);
    let message = with_checksum(source, target, ICMPV6, message, 2);
    let [.., high, middle, low] = target.octets();
    ethernet(from, [0x33, 0x33, 0xff, high, middle, low], 0x86dd, &ipv6(source, target, ICMPV6, 255, &message))
}

/// A router solicitation (RFC 4861 §4.1) to all routers.
pub fn router_solicitation(from: Mac, source: Ipv6Addr) -> Vec<u8> {
    let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    let mut message = vec![133, 0, 0, 0, 0, 0, 0, 0, 1, 1];
    message.extend(from);
    let message = with_checksum(source, all_routers, ICMPV6, message, 2);
    ethernet(from, [0x33, 0x33, 0, 0, 0, 2], 0x86dd, &ipv6(source, all_routers, ICMPV6, 255, &message))
}

fn to_all_nodes(from: Mac, source: Ipv6Addr, message: Vec<u8>) -> Vec<u8> {
    let message = with_checksum(source, ALL_NODES, ICMPV6, message, 2);
    ethernet(from, ALL_NODES_MAC, 0x86dd, &ipv6(source, ALL_NODES, ICMPV6, 255, &message))
}

/// An unsolicited neighbour advertisement that overrides what is known (RFC 4861 §4.4).
pub fn neighbour_advertisement(from: Mac, claimed: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![136, 0, 0, 0, 0xa0, 0, 0, 0];
    message.extend(claimed.octets());
    message.extend([2, 1]);
    message.extend(from);
    to_all_nodes(from, claimed, message)
}

/// A router advertisement (RFC 4861 §4.2) with a default route and a prefix for addresses.
pub fn router_advertisement(from: Mac, router: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
    message.extend([1, 1]);
    message.extend(from);
    message.extend([3, 4, 64, 0xc0, 0, 0, 0x0e, 0x10, 0, 0, 0x0e, 0x10, 0, 0, 0, 0]);
    message.extend(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0).octets());
    to_all_nodes(from, router, message)
}

/// A DHCP acknowledgement (RFC 2131 §2) that offers this address to everybody.
pub fn dhcp_answer_v4(from: Mac, offered: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0; 236];
    message[..4].copy_from_slice(&[2, 1, 6, 0]);
    message[16..20].copy_from_slice(&offered.octets());
    message[20..24].copy_from_slice(&offered.octets());
    message.extend([99, 130, 83, 99, 53, 1, 5, 255]);
    let packet = ipv4(offered, Ipv4Addr::BROADCAST, UDP, &datagram(67, 68, &message));
    ethernet(from, BROADCAST, 0x0800, &packet)
}

/// A DHCPv6 reply (RFC 8415 §8) to everybody.
pub fn dhcp_answer_v6(from: Mac, server: Ipv6Addr) -> Vec<u8> {
    let content = with_checksum(server, ALL_NODES, UDP, datagram(547, 546, &[7, 0xba, 0xd0, 1]), 6);
    ethernet(from, ALL_NODES_MAC, 0x86dd, &ipv6(server, ALL_NODES, UDP, 64, &content))
}
