//! Network devices: what is there.

mod change;
mod create;

use std::net::IpAddr;

use netlink_packet_core::Parseable;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkMessage, State,
};

pub use change::{Change, change, delete};
pub use create::{VethEnd, create_bridge, create_veth, create_vxlan, create_wireguard};

use carrick_types::Family;

use crate::frame::Frame;
use crate::request::encode;
use crate::{Cause, Error, Request, Socket};
use carrick_types::MacAddress;

pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

/// A network device as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The number of the device in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: LinkKind,
    /// Whether it is administratively up (`IFF_UP`).
    pub up: bool,
    /// Whether it can carry packets: its operational state is up or unknown (tunnels report none).
    pub operational: bool,
    /// Largest packet in bytes, without the link-layer header.
    pub mtu: u32,
    /// Its Ethernet address, where it has one.
    pub mac: Option<MacAddress>,
    /// The bridge or bond that it belongs to.
    pub controller: Option<u32>,
    /// The device below it or at its other end (`IFLA_LINK`), in this or another namespace.
    pub lower: Option<u32>,
    /// Free text (`ip link set alias`).
    pub alias: Option<String>,
}

/// What a network device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// A VXLAN tunnel.
    Vxlan(Vxlan),
    /// A WireGuard device of the kernel.
    WireGuard,
    /// One end of a virtual cable.
    Veth,
    /// A TUN or TAP device, fed by a process.
    Tun,
    /// A bridge.
    Bridge,
    /// A virtual device of another kind, such as `vlan`.
    Other(String),
    /// A device without a kind: hardware, or the loopback device.
    Physical,
}

/// The settings of a VXLAN device (RFC 7348).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vxlan {
    /// The network identifier, 24 bits.
    pub vni: u32,
    /// UDP destination port.
    pub port: u16,
    /// Whether it learns where Ethernet addresses are from received packets.
    pub learning: bool,
    /// The family of the outer packets.
    pub underlay: Family,
    /// The source address of outer packets, of the underlay's family; `None` leaves the choice to routing.
    pub local: Option<IpAddr>,
}

/// Lists all devices of the namespace.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn dump(socket: &mut Socket) -> Result<Vec<Link>, Error> {
    let request = Request::dump("list", "links", RTM_GETLINK, encode(&without_statistics()));
    socket.query(&request, |frame| Ok(read(frame)))
}

/// Finds one device by its name.
///
/// # Errors
///
/// There is none of this name ([`Error::is_not_found`]), or see [`Socket::query`].
pub fn by_name(socket: &mut Socket, name: &str) -> Result<Link, Error> {
    let mut message = without_statistics();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let request = Request::get("find link", name, RTM_GETLINK, encode(&message));
    let links = socket.query(&request, |frame| Ok(read(frame)))?;
    links.into_iter().next().ok_or_else(|| Error::new("find link", name, Cause::Missing))
}

fn without_statistics() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

/// Reads one device. Devices with attributes that cannot be read are ignored: this crate never creates devices of such a kind.
pub(crate) fn read(frame: &Frame<'_>) -> Option<Link> {
    match LinkMessage::parse(frame.payload) {
        Ok(message) => from_message(message),
        Err(error) => {
            tracing::debug!(event = "link_unreadable", %error);
            None
        }
    }
}

fn from_message(message: LinkMessage) -> Option<Link> {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: LinkKind::Physical,
        up: message.header.flags.contains(LinkFlags::Up),
        operational: false,
        mtu: 0,
        mac: None,
        controller: None,
        lower: None,
        alias: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(bytes) => link.mac = MacAddress::from_slice(&bytes),
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::Link(index) => link.lower = Some(index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::OperState(state) => link.operational = matches!(state, State::Up | State::Unknown),
            LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn kind(infos: Vec<LinkInfo>) -> LinkKind {
    let mut kind = LinkKind::Physical;
    let mut vxlan = None;
    for info in infos {
        match info {
            LinkInfo::Kind(named) => kind = from_kind(named),
            LinkInfo::Data(InfoData::Vxlan(settings)) => vxlan = Some(read_vxlan(&settings)),
            _ => {}
        }
    }
    vxlan.map_or(kind, LinkKind::Vxlan)
}

fn from_kind(kind: InfoKind) -> LinkKind {
    match kind {
        InfoKind::Wireguard => LinkKind::WireGuard,
        InfoKind::Veth => LinkKind::Veth,
        InfoKind::Tun => LinkKind::Tun,
        InfoKind::Bridge => LinkKind::Bridge,
        other => LinkKind::Other(other.to_string()),
    }
}

fn read_vxlan(settings: &[InfoVxlan]) -> Vxlan {
    let mut vxlan = Vxlan { vni: 0, port: 0, learning: false, underlay: Family::V4, local: None };
    for setting in settings {
        match setting {
            InfoVxlan::Id(vni) => vxlan.vni = *vni,
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Learning(learning) => vxlan.learning = *learning,
            InfoVxlan::Local(local) => vxlan.local = Some((*local).into()),
            InfoVxlan::Local6(local) => vxlan.local = Some((*local).into()),
            InfoVxlan::Label(label) if *label != 0 => vxlan.underlay = Family::V6,
            _ => {}
        }
    }
    if vxlan.local.is_some_and(|local| local.is_ipv6()) {
        vxlan.underlay = Family::V6;
    }
    vxlan
}
