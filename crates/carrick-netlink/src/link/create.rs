//! Making network devices.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage};

use super::{RTM_NEWLINK, Vxlan};
use crate::Request;
use carrick_types::Family;

use crate::request::encode;
use carrick_types::MacAddress;

/// The flow label of outer IPv6 packets, by which the family of a tunnel can be seen.
const UNDERLAY_V6_LABEL: u32 = 1107;

/// One end of a new veth pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VethEnd {
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Largest packet in bytes, without the Ethernet header.
    pub mtu: u32,
    /// Its Ethernet address; the kernel draws one where it is `None`.
    pub mac: Option<MacAddress>,
}

/// Makes a VXLAN device, down. Its Ethernet address is `mac`, its `mtu` counts inner IP packets.
#[must_use]
pub fn create_vxlan(name: &str, vxlan: &Vxlan, mtu: u32, mac: MacAddress) -> Request {
    let mut settings = vec![InfoVxlan::Id(vxlan.vni), InfoVxlan::Port(vxlan.port), InfoVxlan::Learning(vxlan.learning)];
    match vxlan.local {
        Some(IpAddr::V4(local)) => settings.push(InfoVxlan::Local(local)),
        Some(IpAddr::V6(local)) => settings.push(InfoVxlan::Local6(local)),
        None => {}
    }
    if vxlan.underlay == Family::V6 {
        // An unspecified default remote address makes the outer packets IPv6, but the kernel does not
        // report it. It does report a flow label, and allows one on IPv6 tunnels only.
        settings.push(InfoVxlan::Group6(Ipv6Addr::UNSPECIFIED));
        settings.push(InfoVxlan::Label(UNDERLAY_V6_LABEL));
    }
    let end = VethEnd { name: name.to_owned(), mtu, mac: Some(mac) };
    let info = vec![LinkInfo::Kind(InfoKind::Vxlan), LinkInfo::Data(InfoData::Vxlan(settings))];
    create("create VXLAN device", &end, info)
}

/// Makes a WireGuard device of the kernel, down and without a key.
#[must_use]
pub fn create_wireguard(name: &str, mtu: u32) -> Request {
    let end = VethEnd { name: name.to_owned(), mtu, mac: None };
    create("create WireGuard device", &end, vec![LinkInfo::Kind(InfoKind::Wireguard)])
}

/// Makes a bridge, down and without ports.
#[must_use]
pub fn create_bridge(name: &str, mtu: u32) -> Request {
    let end = VethEnd { name: name.to_owned(), mtu, mac: None };
    create("create bridge", &end, vec![LinkInfo::Kind(InfoKind::Bridge)])
}

/// Makes a veth pair, down: `near` in the socket's namespace, `far` at once in the namespace `far_namespace`,
/// which must stay open until the request is sent.
#[must_use]
pub fn create_veth(near: &VethEnd, far: &VethEnd, far_namespace: BorrowedFd<'_>) -> Request {
    let mut peer = described(far);
    peer.attributes.push(LinkAttribute::NetNsFd(far_namespace.as_raw_fd()));
    let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)))];
    create("create veth pair", near, info)
}

fn create(operation: &'static str, end: &VethEnd, info: Vec<LinkInfo>) -> Request {
    let mut message = described(end);
    message.attributes.push(LinkAttribute::LinkInfo(info));
    Request::write(operation, end.name.clone(), RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, encode(&message))
}

fn described(end: &VethEnd) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(end.name.clone()));
    message.attributes.push(LinkAttribute::Mtu(end.mtu));
    message.attributes.extend(end.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message
}
