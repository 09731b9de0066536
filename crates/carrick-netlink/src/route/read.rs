//! Reading routes. A node may hold tens of thousands of them, so this reads the few attributes it needs
//! straight from the message instead of decoding all of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteFlags, RouteHeader};

use super::{Kind, MTU_LOCK, PathMtu, Route};
use crate::address::Scope;
use crate::attribute::{address, array};
use crate::family::KernelFamily as _;
use crate::frame::Frame;
use carrick_types::Family;

pub(super) const HEADER_LENGTH: usize = 12;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
pub(super) const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTA_TABLE: u16 = 15;
pub(super) const RTA_VIA: u16 = 18;
const RTAX_LOCK: u16 = 1;
const RTAX_MTU: u16 = 2;

/// Reads one route; routes of families other than IP are ignored.
pub(crate) fn read(frame: &Frame<'_>) -> Result<Option<Route>, DecodeError> {
    let header = RouteHeader::parse(frame.payload)?;
    let Some(family) = Family::from_kernel(header.address_family) else { return Ok(None) };
    let mut destination = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let mut route = Route {
        table: header.table.into(),
        protocol: header.protocol.into(),
        scope: Scope::from(u8::from(header.scope)),
        onlink: header.flags.contains(RouteFlags::Onlink),
        ..Route::without_device(destination.into(), 0, 0, Kind::from(u8::from(header.kind)))
    };
    route.metric = 0;
    for attribute in NlasIterator::new(frame.payload.get(HEADER_LENGTH..).unwrap_or_default()) {
        let attribute = attribute?;
        match attribute.kind() {
            RTA_DST => destination = address(attribute.value())?,
            RTA_TABLE => route.table = number(attribute.value())?,
            RTA_PRIORITY => route.metric = number(attribute.value())?,
            RTA_OIF => route.device = Some(number(attribute.value())?),
            RTA_GATEWAY => route.via = Some(address(attribute.value())?),
            RTA_VIA => route.via = Some(via(attribute.value())?),
            RTA_PREFSRC => route.source = Some(address(attribute.value())?),
            RTA_METRICS => route.mtu = path_mtu(attribute.value())?,
            _ => {}
        }
    }
    if !matches!(route.kind, Kind::Unicast | Kind::Local) {
        // IPv6 hangs these on the loopback device.
        route.device = None;
    }
    route.destination = IpNet::new(destination, header.destination_prefix_length)
        .map_err(|_| DecodeError::from("prefix longer than the address"))?;
    Ok(Some(route))
}

fn number(bytes: &[u8]) -> Result<u32, DecodeError> {
    array(bytes).map(u32::from_ne_bytes)
}

/// `struct rtvia`: the family in two bytes, then the address.
pub(super) fn via(bytes: &[u8]) -> Result<IpAddr, DecodeError> {
    match bytes {
        [family, 0, rest @ ..] if Family::from_kernel(AddressFamily::from(*family)).is_some() => address(rest),
        _ => Err(DecodeError::invalid_ip_address(bytes.len())),
    }
}

fn path_mtu(metrics: &[u8]) -> Result<Option<PathMtu>, DecodeError> {
    let (mut bytes, mut locks) = (None, 0);
    for metric in NlasIterator::new(metrics) {
        let metric = metric?;
        match metric.kind() {
            RTAX_LOCK => locks = number(metric.value())?,
            RTAX_MTU => bytes = Some(number(metric.value())?),
            _ => {}
        }
    }
    let kind = if locks & MTU_LOCK == 0 { PathMtu::Learned } else { PathMtu::Locked };
    Ok(bytes.map(kind))
}
