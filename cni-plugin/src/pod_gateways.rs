//! Whether the pods' next hops are as ADD made them: the host's ends of the veth pairs.
//!
//! Pods have a permanent neighbour for their gateway, so another Ethernet address at the host's end cuts them off without
//! a word.

use std::fs;
use std::io;

use carrick_netlink::link::{self, Link, LinkKind};
use carrick_netlink::{Error, Family, Socket, address};

use crate::ipam::Record;
use crate::sysctl::Setting;
use crate::wiring::gateway;

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
    let is_own_fault = |family: &&Family| {
        let forwarding = Setting::Forwarding(**family);
        is_off(forwarding, &link.name) && !is_off(forwarding, "all")
    };
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
fn is_off(setting: Setting, device: &str) -> bool {
    let value: io::Result<String> = fs::read_to_string(setting.path(device));
    value.is_ok_and(|value| value.trim() == "0")
}
