//! Filters for captures (pcap-filter(7)).

use std::net::IpAddr;

use crate::address::Family;
use crate::layout::API_ADDRESSES;

/// The port of WireGuard on the nodes.
const WIREGUARD_PORT: u16 = 51820;
/// The port of the nodes' VXLAN devices.
const VXLAN_PORT: u16 = 51822;

/// WireGuard packets: WireGuard's port at one end or both, and one of the four message types with three zero bytes behind it.
#[must_use]
pub fn wireguard() -> String {
    let types = |at: &str| {
        let one = |kind: u32| format!("{at} = 0x0{kind}000000");
        (1..=4).map(one).collect::<Vec<_>>().join(" or ")
    };
    format!("udp port {WIREGUARD_PORT} and ((ip and ({})) or (ip6 and ({})))", types("udp[8:4]"), types("ip6[48:4]"))
}

/// VXLAN packets of nodes.
#[must_use]
pub fn vxlan() -> String {
    format!("udp port {VXLAN_PORT}")
}

/// ICMP "port unreachable" for WireGuard packets. A node sends it while its WireGuard process is down.
#[must_use]
pub fn wireguard_unreachable() -> String {
    let quoted_port = |at: &str| format!("{at} = {WIREGUARD_PORT}");
    // ICMP: 8 bytes, the quoted IPv4 header of 20; ICMPv6 (RFC 4443 §3.1): 8 bytes, the quoted IPv6 header of 40.
    let v4 = format!("icmp[0] = 3 and icmp[1] = 3 and icmp[17] = 17 and {}", quoted_port("icmp[30:2]"));
    let v6 = format!("icmp6 and ip6[40] = 1 and ip6[41] = 4 and ip6[54] = 17 and {}", quoted_port("ip6[90:2]"));
    format!("(({v4}) or ({v6}))")
}

/// Traffic of the API server, and traffic between neighbours on a link.
#[must_use]
pub fn background() -> String {
    let api = [Family::V4, Family::V6].into_iter().filter_map(|family| API_ADDRESSES.of(family));
    let hosts: Vec<_> = api.map(|address| format!("host {address}")).collect();
    format!("{} or arp or ip6 net fe80::/10 or ip6 dst net ff00::/8 or host 127.0.0.1", hosts.join(" or "))
}

/// Unencrypted packets from or to a mesh address, or from or to a pod address of the lab's own pod CIDRs.
#[must_use]
pub fn clear_mesh() -> String {
    "net 10.42.0.0/16 or net 10.4.0.0/16 or ip6 net fd42::/16 or ip6 net fdca:7272:6963:6b00::/64".to_owned()
}

/// Packets between two addresses, in either direction.
#[must_use]
pub fn between(one: IpAddr, other: IpAddr) -> String {
    format!("host {one} and host {other}")
}
