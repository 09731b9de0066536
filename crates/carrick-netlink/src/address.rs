//! Addresses on network devices.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, Parseable};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope};

use crate::family::KernelFamily as _;
use crate::frame::Frame;
use crate::request::encode;
use crate::{Error, Request, Socket};
use carrick_types::Family;

pub(crate) const RTM_NEWADDR: u16 = 20;
pub(crate) const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;

/// An address on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The number of the device.
    pub link: u32,
    /// The address and the length of its subnet's prefix.
    pub network: IpNet,
    /// Whether the kernel adds no route to the subnet (`noprefixroute`).
    pub no_prefix_route: bool,
    /// Whether an IPv6 address is usable at once, without duplicate address detection (`nodad`). IPv4 has none.
    pub no_duplicate_detection: bool,
    /// How far the address is valid.
    pub scope: Scope,
    /// Whether the address cannot be used: duplicate address detection still runs or found another owner.
    /// Ignored when an address is added.
    pub unusable: bool,
    /// What the kernel uses the address for. Ignored when an address is added.
    pub role: Role,
}

/// What the kernel uses an address for (flags `IFA_F_*` of linux/if_addr.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// No flag says otherwise.
    Primary,
    /// In IPv4: another address of the same subnet came before on this device (`IFA_F_SECONDARY`).
    Secondary,
    /// In IPv6: an address that the kernel replaces by another one after a time (`IFA_F_TEMPORARY`, RFC 8981).
    Temporary,
    /// The preferred lifetime is over: new connections must not use the address (`IFA_F_DEPRECATED`, RFC 4862).
    Deprecated,
}

/// How far an address or a route's destination is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Everywhere.
    Universe,
    /// On the device's link.
    Link,
    /// On this host.
    Host,
    /// Another scope, by number.
    Other(u8),
}

impl Address {
    /// A permanent address that brings no route with it and is usable at once.
    #[must_use]
    pub fn without_side_effects(link: u32, network: IpNet) -> Self {
        Self {
            link,
            network,
            no_prefix_route: true,
            no_duplicate_detection: Family::from(network) == Family::V6,
            scope: Scope::Universe,
            unusable: false,
            role: Role::Primary,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on link {}", self.network, self.link)
    }
}

/// Lists addresses of both families, of one device or of all, in the kernel's order: in IPv4 the one that was added first comes first, in IPv6 the
/// one that was added last.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn dump(socket: &mut Socket, link: Option<u32>) -> Result<Vec<Address>, Error> {
    let mut message = AddressMessage::default();
    message.header.index = link.unwrap_or_default();
    let object = link.map_or_else(|| "addresses".to_owned(), |index| format!("addresses of link {index}"));
    let request = Request::dump("list", object, RTM_GETADDR, encode(&message));
    socket.query(&request, |frame| read(frame).map_err(|cause| Error::new("list", "addresses", cause)))
}

/// Adds an address; one that is there already is an error ([`Error::is_exists`]).
#[must_use]
pub fn add(address: &Address) -> Request {
    let mut message = identified(address);
    let mut flags = AddressFlags::empty();
    flags.set(AddressFlags::Noprefixroute, address.no_prefix_route);
    flags.set(AddressFlags::Nodad, address.no_duplicate_detection);
    message.header.flags.set(AddressHeaderFlags::Nodad, address.no_duplicate_detection);
    message.header.scope = u8::from(address.scope).into();
    message.attributes.push(AddressAttribute::Flags(flags));
    Request::write("add address", address.to_string(), RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, encode(&message))
}

/// Removes an address.
#[must_use]
pub fn delete(address: &Address) -> Request {
    Request::write("delete address", address.to_string(), RTM_DELADDR, 0, encode(&identified(address)))
}

fn identified(address: &Address) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = Family::from(address.network).to_kernel();
    message.header.prefix_len = address.network.prefix_len();
    message.header.index = address.link;
    message.attributes.push(AddressAttribute::Local(address.network.addr()));
    message.attributes.push(AddressAttribute::Address(address.network.addr()));
    message
}

pub(crate) fn read(frame: &Frame<'_>) -> Result<Option<Address>, netlink_packet_core::DecodeError> {
    let message = AddressMessage::parse(frame.payload)?;
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let mut local: Option<IpAddr> = None;
    let mut address: Option<IpAddr> = None;
    for attribute in message.attributes {
        match attribute {
            AddressAttribute::Local(value) => local = Some(value),
            AddressAttribute::Address(value) => address = Some(value),
            AddressAttribute::Flags(value) => flags = value,
            _ => {}
        }
    }
    // On a point-to-point link `IFA_ADDRESS` is the other end's.
    let network = local.or(address).and_then(|address| IpNet::new(address, message.header.prefix_len).ok());
    Ok(network.map(|network| Address {
        link: message.header.index,
        network,
        no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
        no_duplicate_detection: flags.contains(AddressFlags::Nodad),
        scope: u8::from(message.header.scope).into(),
        unusable: flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
        role: role(flags, network.into()),
    }))
}

/// `IFA_F_TEMPORARY` and `IFA_F_SECONDARY` are the same bit.
fn role(flags: AddressFlags, family: Family) -> Role {
    if flags.contains(AddressFlags::Deprecated) {
        Role::Deprecated
    } else if !flags.contains(AddressFlags::Secondary) {
        Role::Primary
    } else {
        match family {
            Family::V4 => Role::Secondary,
            Family::V6 => Role::Temporary,
        }
    }
}

impl From<u8> for Scope {
    fn from(number: u8) -> Self {
        match AddressScope::from(number) {
            AddressScope::Universe => Self::Universe,
            AddressScope::Link => Self::Link,
            AddressScope::Host => Self::Host,
            _ => Self::Other(number),
        }
    }
}

impl From<Scope> for u8 {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Universe => AddressScope::Universe.into(),
            Scope::Link => AddressScope::Link.into(),
            Scope::Host => AddressScope::Host.into(),
            Scope::Other(number) => number,
        }
    }
}
