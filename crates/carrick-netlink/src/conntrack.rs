//! Connections that the kernel tracks: which packets belong together, and how they are translated (`man 8 conntrack`,
//! `linux/netfilter/nfnetlink_conntrack.h`).
//!
//! Only a connection's first packet is looked up in the translation tables. What a connection was then, it stays until
//! its entry expires or is deleted.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::family::KernelFamily as _;
use crate::frame::NETFILTER_HEADER_LENGTH;
use crate::nftables::attribute::{Attributes, Received};
use crate::{Error, Request, Socket};
use carrick_types::Family;

/// `NFNL_SUBSYS_CTNETLINK` in the upper byte, `IPCTNL_MSG_CT_GET`, `IPCTNL_MSG_CT_DELETE`.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;

/// `CTA_*`.
mod attribute {
    pub const ORIGINAL: u16 = 1;
    pub const REPLY: u16 = 2;
    pub const ID: u16 = 12;
    pub const ZONE: u16 = 18;
    pub const FILTER: u16 = 25;
    /// Within a direction: `CTA_TUPLE_*`.
    pub const ADDRESSES: u16 = 1;
    pub const TRANSPORT: u16 = 2;
    /// Within the addresses: `CTA_IP_*`.
    pub const IPV4_SOURCE: u16 = 1;
    pub const IPV4_DESTINATION: u16 = 2;
    pub const IPV6_SOURCE: u16 = 3;
    pub const IPV6_DESTINATION: u16 = 4;
    /// Within the transport: `CTA_PROTO_*`.
    pub const PROTOCOL: u16 = 1;
    pub const SOURCE_PORT: u16 = 2;
    pub const DESTINATION_PORT: u16 = 3;
    /// Within the filter: `CTA_FILTER_*`, and what it compares.
    pub const FILTER_ORIGINAL: u16 = 1;
    pub const FILTER_REPLY: u16 = 2;
    pub const COMPARE_PROTOCOL: u32 = 1 << 3;
    pub const COMPARE_DESTINATION_PORT: u32 = 1 << 5;
}

/// Which connections are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// The family of their addresses.
    pub family: Family,
    /// `IPPROTO_*`, one with ports.
    pub protocol: u8,
    /// The port to which the first packet was sent, before any translation.
    pub port: u16,
}

/// Packets of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// Where they come from.
    pub source: SocketAddr,
    /// Where they go.
    pub destination: SocketAddr,
}

/// A tracked connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The direction of the first packet, as it was sent.
    pub original: Direction,
    /// The other direction, as answers are sent.
    pub reply: Direction,
    protocol: u8,
    /// What identifies it to the kernel.
    identity: Vec<u8>,
}

impl Connection {
    /// Whether the packets of the first direction reach another destination than they were sent to.
    #[must_use]
    pub fn is_destination_translated(&self) -> bool {
        self.original.destination != self.reply.source
    }
}

/// Lists the connections that the filter names.
///
/// # Errors
///
/// The kernel tracks no connections or has no way to ask for them, or see [`Socket::query`].
pub fn dump(socket: &mut Socket, filter: &Filter) -> Result<Vec<Connection>, Error> {
    let Filter { family, protocol, port } = *filter;
    let transport = Attributes::new()
        .with_bytes(attribute::PROTOCOL, &[protocol])
        .with_bytes(attribute::DESTINATION_PORT, &port.to_be_bytes());
    // Unlike all else, in the machine's own byte order.
    let compared = attribute::COMPARE_PROTOCOL | attribute::COMPARE_DESTINATION_PORT;
    let compared = Attributes::new()
        .with_bytes(attribute::FILTER_ORIGINAL, &compared.to_ne_bytes())
        .with_bytes(attribute::FILTER_REPLY, &0_u32.to_ne_bytes());
    let attributes = Attributes::new()
        .with_nested(attribute::ORIGINAL, &Attributes::new().with_nested(attribute::TRANSPORT, &transport))
        .with_nested(attribute::FILTER, &compared);
    let request = Request::dump("list", format!("connections to port {port}"), GET, payload(family, &attributes));
    let connections = socket.query(&request, |frame| Ok(read(frame.payload)))?;
    // A kernel before 5.8 knows no filter and lists all.
    let meant =
        |connection: &Connection| connection.protocol == protocol && connection.original.destination.port() == port;
    Ok(connections.into_iter().filter(meant).collect())
}

/// Forgets a connection, so that its next packet is the first one of a new one.
#[must_use]
pub fn delete(connection: &Connection) -> Request {
    let Direction { source, destination } = connection.original;
    let family = Family::from(source.ip());
    let payload = [&header(family)[..], &connection.identity].concat();
    Request::write("delete", format!("connection from {source} to {destination}"), DELETE, 0, payload)
}

fn header(family: Family) -> [u8; NETFILTER_HEADER_LENGTH] {
    [family.to_kernel().into(), 0, 0, 0]
}

fn payload(family: Family, attributes: &Attributes) -> Vec<u8> {
    [&header(family)[..], attributes.as_bytes()].concat()
}

pub(crate) fn read(payload: &[u8]) -> Option<Connection> {
    let attributes = Received::new(payload.get(NETFILTER_HEADER_LENGTH..)?);
    let original = attributes.nested(attribute::ORIGINAL)?;
    let mut identity = Attributes::new().with_nested_bytes(attribute::ORIGINAL, attributes.bytes(attribute::ORIGINAL)?);
    for kind in [attribute::ZONE, attribute::ID] {
        if let Some(value) = attributes.bytes(kind) {
            identity = identity.with_bytes(kind, value);
        }
    }
    Some(Connection {
        protocol: *original.nested(attribute::TRANSPORT)?.bytes(attribute::PROTOCOL)?.first()?,
        original: direction(original)?,
        reply: direction(attributes.nested(attribute::REPLY)?)?,
        identity: identity.as_bytes().to_vec(),
    })
}

fn direction(attributes: Received<'_>) -> Option<Direction> {
    let addresses = attributes.nested(attribute::ADDRESSES)?;
    let transport = attributes.nested(attribute::TRANSPORT)?;
    let address = |ipv4, ipv6| {
        let ipv4 = addresses.bytes(ipv4).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let ipv6 = addresses.bytes(ipv6).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        ipv4.map(|bytes| IpAddr::from(Ipv4Addr::from(bytes))).or(ipv6.map(|bytes| Ipv6Addr::from(bytes).into()))
    };
    let port = |kind| Some(u16::from_be_bytes(transport.bytes(kind)?.try_into().ok()?));
    let source = address(attribute::IPV4_SOURCE, attribute::IPV6_SOURCE)?;
    let destination = address(attribute::IPV4_DESTINATION, attribute::IPV6_DESTINATION)?;
    Some(Direction {
        source: SocketAddr::new(source, port(attribute::SOURCE_PORT)?),
        destination: SocketAddr::new(destination, port(attribute::DESTINATION_PORT)?),
    })
}
