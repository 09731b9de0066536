//! The pods' gateways: the host's ends of the veth pairs, which are the next hops of the pods.
//!
//! A pod has a permanent neighbour entry for its gateway. If the MAC address of the host's end changes, the pod loses its connection
//! without any error.

use std::fs;

use carrick_netlink::link::{self, Link, LinkKind};
use carrick_netlink::route::{self, Filter, Route};
use carrick_netlink::{Error, Family, Socket, address, neighbour};
use carrick_topology::constants::MAIN_TABLE;

pub use crate::gateway::gateway;
use crate::ipam::Record;
use crate::pod_routes::HostEntries;

/// A pod whose gateway differs from what ADD configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayFault {
    /// Namespace and name of the pod; container and interface if the pod's name is not known.
    pub pod: String,
    /// The name of the host's end of the veth pair.
    pub device: String,
    /// What is wrong with the device, as the end of a sentence that starts with its name.
    pub fault: String,
}

/// The first fault of each pod's gateway, for the pods of `records`. Changes nothing.
///
/// # Errors
///
/// The kernel cannot be read.
pub fn faults(socket: &mut Socket, records: &[Record]) -> Result<Vec<GatewayFault>, Error> {
    let links = link::dump(socket)?;
    let routes = routes(socket)?;
    let mut faults = Vec::new();
    for record in records {
        let link = links.iter().find(|link| link.name == record.device);
        let fault = match link {
            None => Some("is gone".to_owned()),
            Some(link) => match of_link(record, link).or(of_family(socket, record, link)?) {
                None => of_entries(socket, &HostEntries::of(record, link.index), &routes)?,
                fault => fault,
            },
        };
        let pod = || record.title();
        faults.extend(fault.map(|fault| GatewayFault { pod: pod(), device: record.device.clone(), fault }));
    }
    Ok(faults)
}

fn of_link(record: &Record, link: &Link) -> Option<String> {
    let wanted = record.attachment.host_mac();
    if link.kind != LinkKind::Veth {
        return Some("is not a veth device".to_owned());
    }
    if !link.up {
        return Some("is down".to_owned());
    }
    (link.mac != Some(wanted)).then(|| match link.mac {
        Some(found) => format!("has the MAC address {found} instead of {wanted}"),
        None => format!("has no MAC address instead of {wanted}"),
    })
}

fn of_family(socket: &mut Socket, record: &Record, link: &Link) -> Result<Option<String>, Error> {
    let families: Vec<Family> = record.addresses.iter().map(|address| Family::from(*address)).collect();
    // If the whole host does not forward, the device is not the fault.
    let is_own_fault =
        |family: &&Family| is_forwarding_off(**family, &link.name) && !is_forwarding_off(**family, "all");
    if let Some(family) = families.iter().find(is_own_fault) {
        return Ok(Some(format!("does not forward {family}")));
    }
    if families.contains(&Family::V6) {
        let gateway = gateway(Family::V6);
        let addresses = address::dump(socket, Some(link.index))?;
        if !addresses.iter().any(|address| address.network.addr() == gateway) {
            return Ok(Some(format!("has no address {gateway}")));
        }
    }
    Ok(None)
}

fn routes(socket: &mut Socket) -> Result<Vec<Route>, Error> {
    let mut routes = Vec::new();
    for family in Family::BOTH {
        routes.extend(route::dump(socket, &Filter { family, table: Some(MAIN_TABLE), protocol: None, device: None })?);
    }
    Ok(routes)
}

fn of_entries(socket: &mut Socket, wanted: &HostEntries, routes: &[Route]) -> Result<Option<String>, Error> {
    let is_there = |wanted: &Route| {
        routes.iter().any(|route| route.destination == wanted.destination && route.device == wanted.device)
    };
    if let Some(missing) = wanted.routes.iter().find(|wanted| !is_there(wanted)) {
        return Ok(Some(format!("has no route to {}", missing.destination)));
    }
    let neighbours = neighbour::dump(socket, wanted.device)?;
    let missing = wanted.neighbours.iter().find(|wanted| !neighbours.contains(wanted));
    Ok(missing.map(|missing| format!("has no neighbour {} at {}", missing.address, missing.mac)))
}

/// False also if the kernel does not have the setting.
fn is_forwarding_off(family: Family, device: &str) -> bool {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let value = fs::read_to_string(format!("/proc/sys/net/{family}/conf/{device}/forwarding"));
    value.is_ok_and(|value| value.trim() == "0")
}
