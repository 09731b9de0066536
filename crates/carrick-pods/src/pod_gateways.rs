//! Whether the pods' next hops are as ADD made them: the host's ends of the veth pairs.
//!
//! Pods have a permanent neighbour for their gateway, so another Ethernet address at the host's end cuts them off without
//! a word.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrick_netlink::link::{self, Link, LinkKind};
use carrick_netlink::{Error, Family, Socket, address};

use crate::ipam::Record;

/// The next hop of a pod's packets.
#[must_use]
pub fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(169, 254, 1, 1).into(),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// A pod whose next hop is not as ADD made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayFault {
    /// Namespace and name of the pod, or else the container and the interface.
    pub pod: String,
    /// The device at the host's end.
    pub device: String,
    /// What is wrong with it, in words.
    pub fault: String,
}

/// The faults of the host's ends of these attachments, the first one of each. Writes nothing.
///
/// # Errors
///
/// The kernel could not be asked.
pub fn faults(socket: &mut Socket, records: &[Record]) -> Result<Vec<GatewayFault>, Error> {
    let links = link::dump(socket)?;
    let mut faults = Vec::new();
    for record in records {
        let link = links.iter().find(|link| link.name == record.device);
        let fault = match link {
            None => Some("is gone".to_owned()),
            Some(link) => of_link(record, link).or(of_family(socket, record, link)?),
        };
        let pod = || record.title();
        faults.extend(fault.map(|fault| GatewayFault { pod: pod(), device: record.device.clone(), fault }));
    }
    Ok(faults)
}

fn of_link(record: &Record, link: &Link) -> Option<String> {
    let wanted = record.attachment.host_mac();
    if link.kind != LinkKind::Veth {
        return Some("is no veth".to_owned());
    }
    if !link.up {
        return Some("is down".to_owned());
    }
    (link.mac != Some(wanted)).then(|| match link.mac {
        Some(found) => format!("has the Ethernet address {found} instead of {wanted}"),
        None => format!("has no Ethernet address instead of {wanted}"),
    })
}

fn of_family(socket: &mut Socket, record: &Record, link: &Link) -> Result<Option<String>, Error> {
    let families: Vec<Family> = record.addresses.iter().map(|address| Family::from(*address)).collect();
    // Where the host forwards nothing at all, the device is not what is wrong.
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

/// A setting that the kernel does not have is not off.
fn is_forwarding_off(family: Family, device: &str) -> bool {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let value = fs::read_to_string(format!("/proc/sys/net/{family}/conf/{device}/forwarding"));
    value.is_ok_and(|value| value.trim() == "0")
}
