//! The pods' gateways: the host's ends of the veth pairs, which are the next hops of the pods.
//!
//! A pod has a permanent neighbour entry for its gateway. If the MAC address of the host's end changes, the pod loses its connection
//! without any error.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrick_netlink::link::{self, Link, LinkKind};
use carrick_netlink::{Error, Family, Socket, address};

use crate::ipam::Record;

/// The gateway of all pods, as a pod's routes name it.
#[must_use]
pub fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(169, 254, 1, 1).into(),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

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

/// False also if the kernel does not have the setting.
fn is_forwarding_off(family: Family, device: &str) -> bool {
    let family = match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    };
    let value = fs::read_to_string(format!("/proc/sys/net/{family}/conf/{device}/forwarding"));
    value.is_ok_and(|value| value.trim() == "0")
}
