//! The host's network interfaces, for the discovery of the node's own addresses.

use std::collections::BTreeSet;

use carrick_netlink::{Error, Protocol, Socket, address, link, route};
use carrick_topology::Family;
use carrick_topology::discovery::Interface;
use ipnet::IpNet;

/// The kernel's main routing table (`RT_TABLE_MAIN`).
const MAIN_TABLE: u32 = 254;

/// Lists the interfaces that are up, with their lasting addresses and whether a default route leaves by them.
///
/// # Errors
/// The kernel could not be asked.
pub fn list() -> Result<Vec<Interface>, Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    let addresses = address::dump(&mut socket, None)?;
    let default_routes = [default_route(&mut socket, Family::V4)?, default_route(&mut socket, Family::V6)?];
    let interfaces = link::dump(&mut socket)?
        .into_iter()
        .filter(|link| link.up)
        .filter_map(|link| {
            let lasting = addresses.iter().filter(|address| address.link == link.index && !address.unusable);
            Some(Interface {
                name: link.name.parse().ok()?,
                mtu: link.mtu,
                addresses: lasting.map(|address| address.network).collect(),
                default_route: default_routes
                    .iter()
                    .flatten()
                    .filter(|(_, device)| *device == link.index)
                    .map(|(family, _)| *family)
                    .collect::<BTreeSet<Family>>(),
            })
        })
        .collect();
    Ok(interfaces)
}

/// The device of the default route with the least metric in the main table.
fn default_route(socket: &mut Socket, family: Family) -> Result<Option<(Family, u32)>, Error> {
    let filter = route::Filter { family, table: Some(MAIN_TABLE), protocol: None, device: None };
    let everything = |destination: &IpNet| destination.prefix_len() == 0;
    let best = route::dump(socket, &filter)?
        .into_iter()
        .filter(|route| everything(&route.destination))
        .filter_map(|route| Some((route.metric, route.device?)))
        .min();
    Ok(best.map(|(_, device)| (family, device)))
}
