//! What the host's routing holds for attached pods, so that the agent can put back what somebody flushed.
//!
//! The plugin makes these routes and neighbours once, in ADD, and is not there when they get lost. Only what a
//! record names is anybody's business here: of all else with the same protocol number, a call of the plugin may
//! just be making or removing it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_netlink::link::{Link, LinkKind};
use carrick_netlink::neighbour::Neighbour;
use carrick_netlink::route::Route;
use carrick_topology::constants::POD_ROUTE_PROTOCOL;

use crate::ipam::Record;

/// The kernel's main routing table (`RT_TABLE_MAIN`), which holds the routes to pods.
pub const MAIN_TABLE: u32 = 254;

/// The host's entries for one attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntries {
    /// The number of the device at the host's end.
    pub device: u32,
    /// The routes to the pod's addresses, in table main.
    pub routes: Vec<Route>,
    /// The pod's addresses with its Ethernet address, all permanent.
    pub neighbours: Vec<Neighbour>,
}

impl HostEntries {
    /// The entries for a record, on the device with this number at the host's end.
    #[must_use]
    pub fn of(record: &Record, device: u32) -> Self {
        let route = |address: &IpAddr| Route::through((*address).into(), MAIN_TABLE, POD_ROUTE_PROTOCOL, device);
        let mac = record.pod_mac();
        let neighbour = |address: &IpAddr| Neighbour { link: device, address: *address, mac };
        Self {
            device,
            routes: record.addresses.iter().map(route).collect(),
            neighbours: record.addresses.iter().map(neighbour).collect(),
        }
    }
}

/// The entries that the records want on the devices that exist and have a carrier.
///
/// A device gets its carrier when ADD sets up the pod's end, which it does after the host's. So what an ADD is still
/// making is left to that ADD; and where a DEL has removed the device, nothing is wanted any more.
#[must_use]
pub fn wanted(records: &[Record], links: &[Link]) -> Vec<HostEntries> {
    let settled = links.iter().filter(|link| link.kind == LinkKind::Veth && link.up && link.operational);
    let settled: BTreeMap<&str, u32> = settled.map(|link| (link.name.as_str(), link.index)).collect();
    let entries = |record: &Record| Some(HostEntries::of(record, *settled.get(record.device.as_str())?));
    records.iter().filter_map(entries).collect()
}

/// Whether a route is one that the plugin makes.
#[must_use]
pub fn is_pod_route(route: &Route) -> bool {
    route.protocol == POD_ROUTE_PROTOCOL && route.table == MAIN_TABLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attachment::Attachment;

    fn record(container_id: &str, addresses: &[&str]) -> Record {
        let attachment = Attachment {
            network: "carrick".to_owned(),
            container_id: container_id.to_owned(),
            interface: "eth0".to_owned(),
        };
        let device = attachment.host_device();
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Record {
            attachment,
            pod: None,
            device,
            addresses,
            mac: None,
            host_ports: Vec::new(),
            ingress: None,
            egress: None,
        }
    }

    fn link(record: &Record, index: u32) -> Link {
        Link {
            index,
            name: record.device.clone(),
            kind: LinkKind::Veth,
            up: true,
            operational: true,
            mtu: 1370,
            mac: None,
            controller: None,
            lower: None,
            alias: None,
        }
    }

    #[test]
    fn every_address_gets_a_route_and_a_neighbour_on_its_device() {
        let (first, second) = (record("a", &["10.42.0.2", "fd42::2"]), record("b", &["10.42.0.3"]));
        let links = [link(&second, 8), link(&first, 7)];
        let entries = wanted(&[first.clone(), second], &links);
        assert_eq!(entries.iter().map(|entries| entries.device).collect::<Vec<_>>(), [7, 8]);
        let destinations: Vec<String> = entries[0].routes.iter().map(|route| route.destination.to_string()).collect();
        assert_eq!(destinations, ["10.42.0.2/32", "fd42::2/128"]);
        assert!(entries[0].routes.iter().all(|route| is_pod_route(route) && route.device == Some(7)));
        assert!(entries[0].neighbours.iter().all(|entry| entry.link == 7 && entry.mac == first.attachment.pod_mac()));
        assert_eq!((entries[0].neighbours.len(), entries[1].neighbours.len()), (2, 1));
    }

    #[test]
    fn nothing_is_wanted_without_a_device_that_carries() {
        let record = record("a", &["10.42.0.2"]);
        let good = link(&record, 7);
        for link in [
            Link { name: "eth0".to_owned(), ..good.clone() },
            Link { operational: false, ..good.clone() },
            Link { up: false, ..good.clone() },
            Link { kind: LinkKind::Bridge, ..good.clone() },
        ] {
            assert_eq!(wanted(std::slice::from_ref(&record), std::slice::from_ref(&link)), [], "{link:?}");
        }
        assert_eq!(wanted(&[], &[good]), []);
    }
}
