//! The next hops of routes, of which a multipath route has several.

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use nix::errno::Errno;

use super::read::{HEADER_LENGTH, RTA_GATEWAY, RTA_VIA, read, via};
use super::{RTM_GETROUTE, Route};
use crate::attribute::address;
use crate::error::none_without_family;
use crate::family::KernelFamily as _;
use crate::frame::Frame;
use crate::request::encode;
use crate::{Error, Request, Socket};
use carrick_types::Family;

const RTA_MULTIPATH: u16 = 9;
/// `struct rtnexthop`: length in two bytes, flags, weight, and the number of the device in four bytes. Attributes follow.
const NEXT_HOP_LENGTH: usize = 8;

/// Lists the next hops of routes: a route with several of them (multipath) gives one route for each.
///
/// # Errors
///
/// See [`Socket::query`].
pub fn dump_next_hops(socket: &mut Socket, family: Family, table: u32) -> Result<Vec<Route>, Error> {
    let mut message = RouteMessage::default();
    message.header.address_family = family.to_kernel();
    message.attributes.push(RouteAttribute::Table(table));
    let object = format!("{family} routes");
    let request = Request::dump("list", object.clone(), RTM_GETROUTE, encode(&message));
    let listed = socket.query(&request, |frame| {
        read_next_hops(frame).map_err(|cause| Error::new("list", object.clone(), cause)).map(Some)
    });
    match none_without_family(listed) {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(Vec::new()),
        listed => {
            Ok(listed?.into_iter().flatten().filter(|route| route.table == table && route.family() == family).collect())
        }
    }
}

/// Reads the next hops of one route, each as a route.
fn read_next_hops(frame: &Frame<'_>) -> Result<Vec<Route>, DecodeError> {
    let Some(route) = read(frame)? else { return Ok(Vec::new()) };
    let mut hops = Vec::new();
    for attribute in NlasIterator::new(frame.payload.get(HEADER_LENGTH..).unwrap_or_default()) {
        let attribute = attribute?;
        if attribute.kind() != RTA_MULTIPATH {
            continue;
        }
        let mut rest = attribute.value();
        while let Some((length, device)) = next_hop_header(rest) {
            let Some(hop) = rest.get(..length) else { break };
            hops.push(next_hop(
                &Route { device: Some(device), ..route },
                hop.get(NEXT_HOP_LENGTH..).unwrap_or_default(),
            )?);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
    Ok(if hops.is_empty() { vec![route] } else { hops })
}

/// The length of a next hop and the number of its device; `None` behind the last next hop.
fn next_hop_header(bytes: &[u8]) -> Option<(usize, u32)> {
    let length = bytes.get(..2)?.try_into().map(u16::from_ne_bytes).ok()?.into();
    let device = bytes.get(4..NEXT_HOP_LENGTH)?.try_into().map(u32::from_ne_bytes).ok()?;
    (length >= NEXT_HOP_LENGTH).then_some((length, device))
}

fn next_hop(route: &Route, attributes: &[u8]) -> Result<Route, DecodeError> {
    let mut hop = *route;
    for attribute in NlasIterator::new(attributes) {
        let attribute = attribute?;
        match attribute.kind() {
            RTA_GATEWAY => hop.via = Some(address(attribute.value())?),
            RTA_VIA => hop.via = Some(via(attribute.value())?),
            _ => {}
        }
    }
    Ok(hop)
}
