//! Static neighbours: which Ethernet address a next hop has, and behind which tunnel end that is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DecodeError, NLM_F_CREATE, NLM_F_REPLACE, Parseable};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};

use crate::family::KernelFamily as _;
use crate::frame::Frame;
use crate::request::encode;
use crate::{Error, Request, Socket};
use carrick_types::Family;
use carrick_types::MacAddress;

pub(crate) const RTM_NEWNEIGH: u16 = 28;
pub(crate) const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;

/// A permanent entry of the ARP or neighbour discovery table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// The number of the device.
    pub link: u32,
    /// The neighbour's IP address.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: MacAddress,
}

/// A permanent forwarding entry of a VXLAN device (`bridge fdb … self permanent`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForwardingEntry {
    /// The number of the VXLAN device.
    pub link: u32,
    /// The Ethernet address of the inner frame.
    pub mac: MacAddress,
    /// Where the outer packet goes.
    pub destination: IpAddr,
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} on link {}", self.address, self.mac, self.link)
    }
}

impl fmt::Display for ForwardingEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} towards {} on link {}", self.mac, self.destination, self.link)
    }
}

/// Lists the permanent neighbours of a device, of both families.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn dump(socket: &mut Socket, link: u32) -> Result<Vec<Neighbour>, Error> {
    let object = format!("neighbours of link {link}");
    let mut message = NeighbourMessage::default();
    message.attributes.push(NeighbourAttribute::IfIndex(link));
    let request = Request::dump("list", object.clone(), RTM_GETNEIGH, encode(&message));
    let neighbours =
        socket.query(&request, |frame| read(frame).map_err(|cause| Error::new("list", object.clone(), cause)))?;
    Ok(neighbours.into_iter().filter(|neighbour| neighbour.link == link).collect())
}

/// Lists the permanent forwarding entries of a VXLAN device, without its default entry.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn dump_forwarding(socket: &mut Socket, link: u32) -> Result<Vec<ForwardingEntry>, Error> {
    let object = format!("forwarding entries of link {link}");
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = link;
    let request = Request::dump("list", object.clone(), RTM_GETNEIGH, encode(&message));
    let entries = socket
        .query(&request, |frame| read_forwarding(frame).map_err(|cause| Error::new("list", object.clone(), cause)))?;
    Ok(entries.into_iter().filter(|entry| entry.link == link).collect())
}

/// Adds a permanent neighbour, or puts it in the place of what the table knows about that address.
#[must_use]
pub fn replace(neighbour: &Neighbour) -> Request {
    let mut message = identified(neighbour);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(neighbour.mac.0.to_vec()));
    Request::write(
        "replace neighbour",
        neighbour.to_string(),
        RTM_NEWNEIGH,
        NLM_F_CREATE | NLM_F_REPLACE,
        encode(&message),
    )
}

/// Removes a neighbour.
#[must_use]
pub fn delete(neighbour: &Neighbour) -> Request {
    let message = identified(neighbour);
    Request::write("delete neighbour", neighbour.to_string(), RTM_DELNEIGH, 0, encode(&message))
}

/// Adds a forwarding entry, or puts it in the place of the one for the same Ethernet address.
#[must_use]
pub fn replace_forwarding(entry: &ForwardingEntry) -> Request {
    let mut message = identified_forwarding(entry);
    message.header.state = NeighbourState::Permanent;
    Request::write(
        "replace forwarding entry",
        entry.to_string(),
        RTM_NEWNEIGH,
        NLM_F_CREATE | NLM_F_REPLACE,
        encode(&message),
    )
}

/// Removes a forwarding entry.
#[must_use]
pub fn delete_forwarding(entry: &ForwardingEntry) -> Request {
    let message = identified_forwarding(entry);
    Request::write("delete forwarding entry", entry.to_string(), RTM_DELNEIGH, 0, encode(&message))
}

fn identified(neighbour: &Neighbour) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = Family::from(neighbour.address).to_kernel();
    message.header.ifindex = neighbour.link;
    message.attributes.push(NeighbourAttribute::Destination(destination(neighbour.address)));
    message
}

fn identified_forwarding(entry: &ForwardingEntry) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = entry.link;
    message.header.flags = NeighbourFlags::Own;
    message.attributes.push(NeighbourAttribute::Destination(destination(entry.destination)));
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(entry.mac.0.to_vec()));
    message
}

fn destination(address: IpAddr) -> NeighbourAddress {
    match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    }
}

pub(crate) fn read(frame: &Frame<'_>) -> Result<Option<Neighbour>, DecodeError> {
    let message = NeighbourMessage::parse(frame.payload)?;
    if message.header.state != NeighbourState::Permanent || Family::from_kernel(message.header.family).is_none() {
        return Ok(None);
    }
    let parts = parts(&message);
    Ok(parts.address.zip(parts.mac).map(|(address, mac)| Neighbour { link: message.header.ifindex, address, mac }))
}

pub(crate) fn read_forwarding(frame: &Frame<'_>) -> Result<Option<ForwardingEntry>, DecodeError> {
    let message = NeighbourMessage::parse(frame.payload)?;
    let permanent = u16::from(message.header.state) & u16::from(NeighbourState::Permanent) != 0;
    if message.header.family != AddressFamily::Bridge || !permanent {
        return Ok(None);
    }
    let parts = parts(&message);
    Ok(parts.address.zip(parts.mac).map(|(destination, mac)| ForwardingEntry {
        link: message.header.ifindex,
        mac,
        destination,
    }))
}

struct Parts {
    address: Option<IpAddr>,
    mac: Option<MacAddress>,
}

fn parts(message: &NeighbourMessage) -> Parts {
    let mut parts = Parts { address: None, mac: None };
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => parts.address = Some((*address).into()),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
                parts.address = Some((*address).into());
            }
            // Behind the family `AF_BRIDGE` the length alone tells the address family.
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => parts.address = by_length(bytes),
            NeighbourAttribute::LinkLayerAddress(bytes) => parts.mac = MacAddress::from_slice(bytes),
            _ => {}
        }
    }
    parts
}

fn by_length(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}
