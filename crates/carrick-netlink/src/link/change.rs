//! Changing and removing network devices.

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

use super::{RTM_DELLINK, RTM_NEWLINK};
use crate::Request;
use crate::request::encode;
use carrick_types::MacAddress;

/// What to change on a device; `None` leaves a setting as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Administratively up or down.
    pub up: Option<bool>,
    /// Largest packet in bytes, without the link-layer header.
    pub mtu: Option<u32>,
    /// Ethernet address.
    pub mac: Option<MacAddress>,
    /// New name; most devices must be down to get one.
    pub name: Option<String>,
    /// Free text; empty removes it.
    pub alias: Option<String>,
}

/// Changes settings of the device with the number `index`. `name` is for error messages only.
#[must_use]
pub fn change(index: u32, name: &str, change: &Change) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    if let Some(up) = change.up {
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    }
    message.attributes.extend(change.mtu.map(LinkAttribute::Mtu));
    message.attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    message.attributes.extend(change.name.clone().map(LinkAttribute::IfName));
    message.attributes.extend(change.alias.clone().map(LinkAttribute::IfAlias));
    Request::write("change link", name, RTM_NEWLINK, 0, encode(&message))
}

/// Removes the device with the number `index`. `name` is for error messages only.
#[must_use]
pub fn delete(index: u32, name: &str) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = index;
    Request::write("delete link", name, RTM_DELLINK, 0, encode(&message))
}
