//! Neighbours, and forwarding entries of bridges and VXLAN devices.

use std::net::IpAddr;

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};

use crate::Reader;
use crate::reader::link_layer_address;

/// A neighbour.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address.
    pub mac: String,
    /// Whether it is permanent.
    pub permanent: bool,
}

/// A forwarding entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forwarding {
    /// The link-layer address.
    pub mac: String,
    /// Where frames to it go.
    pub destination: IpAddr,
    /// Whether it is permanent.
    pub permanent: bool,
}

/// What one message says.
struct Entry {
    address: Option<IpAddr>,
    mac: String,
    permanent: bool,
}

impl Reader {
    /// The neighbours of one device that have a link-layer address, of both families, in order.
    #[must_use]
    pub fn neighbours(&self, device: u32) -> Vec<Neighbour> {
        let mut neighbours: Vec<Neighbour> = [AddressFamily::Inet, AddressFamily::Inet6]
            .into_iter()
            .flat_map(|family| self.entries(device, family))
            .filter(|entry| !entry.mac.is_empty())
            .filter_map(|Entry { address, mac, permanent }| Some(Neighbour { address: address?, mac, permanent }))
            .collect();
        neighbours.sort();
        neighbours
    }

    /// The forwarding entries of one VXLAN device that name a destination, in order.
    #[must_use]
    pub fn forwarding(&self, device: u32) -> Vec<Forwarding> {
        let entries = self.entries(device, AddressFamily::Bridge);
        let mut forwarding: Vec<Forwarding> = entries
            .into_iter()
            .filter_map(|Entry { address, mac, permanent }| Some(Forwarding { mac, destination: address?, permanent }))
            .collect();
        forwarding.sort();
        forwarding
    }

    fn entries(&self, device: u32, family: AddressFamily) -> Vec<Entry> {
        let messages = self.dump(self.handle().neighbours().get().set_address_family(family).execute());
        messages.into_iter().filter(|message| message.header.ifindex == device).map(entry).collect()
    }
}

fn entry(message: NeighbourMessage) -> Entry {
    let permanent = message.header.state == NeighbourState::Permanent;
    let mut entry = Entry { address: None, mac: String::new(), permanent };
    for attribute in message.attributes {
        match attribute {
            NeighbourAttribute::Destination(destination) => entry.address = address(&destination),
            NeighbourAttribute::LinkLayerAddress(bytes) => entry.mac = link_layer_address(&bytes),
            _ => {}
        }
    }
    entry
}

/// The destination of a forwarding entry comes as bytes: its message names no family of addresses.
fn address(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some((*address).into()),
        NeighbourAddress::Inet6(address) => Some((*address).into()),
        NeighbourAddress::Other(bytes) => {
            let v4 = || <[u8; 4]>::try_from(bytes.as_slice()).ok().map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(bytes.as_slice()).ok().map(IpAddr::from);
            v4().or_else(v6)
        }
        _ => None,
    }
}
