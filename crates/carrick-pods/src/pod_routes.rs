//! The host's routes and neighbours for attached pods.
//!
//! The plugin adds them once, in ADD, and does not run when another program flushes them. The agent restores them from the records.
//! The agent touches nothing that no record names, not even entries with the same protocol number: a running ADD or DEL may be
//! adding or removing them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_netlink::Family;
use carrick_netlink::address::{Address, Scope};
use carrick_netlink::link::{Link, LinkKind};
use carrick_netlink::neighbour::Neighbour;
use carrick_netlink::route::Route;
use carrick_topology::constants::{MAIN_TABLE, POD_ROUTE_PROTOCOL};

use ipnet::IpNet;

use crate::gateway::gateway;
use crate::ipam::Record;

/// The host's routing entries for one attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostEntries {
    /// The interface index of the host's end of the veth pair.
    pub device: u32,
    /// The routes to the pod's addresses, in table main.
    pub routes: Vec<Route>,
    /// Permanent neighbours: the pod's addresses with the pod's MAC address.
    pub neighbours: Vec<Neighbour>,
    /// The IPv6 gateway address, so that pods can ping it and see it in traceroutes. The IPv4 gateway address is on no device: the host
    /// would use it as the source address of its packets to pods.
    pub address: Option<Address>,
}

impl HostEntries {
    /// The entries for a record. `device` is the interface index of the host's end.
    #[must_use]
    pub fn of(record: &Record, device: u32) -> Self {
        let route = |address: &IpAddr| Route::through((*address).into(), MAIN_TABLE, POD_ROUTE_PROTOCOL, device);
        let mac = record.pod_mac();
        let neighbour = |address: &IpAddr| Neighbour { link: device, address: *address, mac };
        Self {
            device,
            routes: record.addresses.iter().map(route).collect(),
            neighbours: record.addresses.iter().map(neighbour).collect(),
            address: record.addresses.iter().any(IpAddr::is_ipv6).then(|| Address {
                no_prefix_route: false,
                scope: Scope::Link,
                ..Address::without_side_effects(device, IpNet::new_assert(gateway(Family::V6), 64))
            }),
        }
    }
}

/// The entries that the records require, on the devices that exist and have a carrier.
///
/// The host's end gets its carrier when ADD sets the pod's end up, which is after ADD has configured the host's end. So entries that
/// a running ADD still adds are not required here. After DEL has removed the device, none are required either.
#[must_use]
pub fn wanted(records: &[Record], links: &[Link]) -> Vec<HostEntries> {
    let settled = links.iter().filter(|link| link.kind == LinkKind::Veth && link.up && link.operational);
    let settled: BTreeMap<&str, u32> = settled.map(|link| (link.name.as_str(), link.index)).collect();
    let entries = |record: &Record| Some(HostEntries::of(record, *settled.get(record.device.as_str())?));
    records.iter().filter_map(entries).collect()
}

/// The pods' devices that another program has set down, as interface index and name. ADD gives a device its alias and sets it up in one
/// step, so a device with an alias that is down was up before.
#[must_use]
pub fn set_down<'a>(records: &[Record], links: &'a [Link]) -> Vec<(u32, &'a str)> {
    let names: BTreeSet<&str> = records.iter().map(|record| record.device.as_str()).collect();
    let is_set_down = |link: &&Link| {
        link.kind == LinkKind::Veth && !link.up && link.alias.is_some() && names.contains(link.name.as_str())
    };
    links.iter().filter(is_set_down).map(|link| (link.index, link.name.as_str())).collect()
}

/// Whether the route belongs to the plugin.
#[must_use]
pub fn is_pod_route(route: &Route) -> bool {
    route.protocol == POD_ROUTE_PROTOCOL && route.table == MAIN_TABLE
}

/// Whether the route can have taken the place of one of the plugin's, which lead to single addresses. Of a route that is replaced, the kernel
/// notifies by the new route alone.
#[must_use]
pub fn can_replace_pod_route(route: &Route) -> bool {
    let is_of_one_address = route.destination.prefix_len() == route.destination.max_prefix_len();
    is_of_one_address && route.protocol != POD_ROUTE_PROTOCOL && route.table == MAIN_TABLE
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
    fn every_address_has_a_route_and_a_neighbour_on_its_device() {
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
    fn a_device_that_is_down_was_set_down_if_it_has_an_alias() {
        let record = record("a", &["10.42.0.2"]);
        let down = Link { up: false, operational: false, alias: Some("default/web".to_owned()), ..link(&record, 7) };
        let records = std::slice::from_ref(&record);
        assert_eq!(set_down(records, std::slice::from_ref(&down)), [(7, record.device.as_str())]);
        for other in [
            Link { alias: None, ..down.clone() },
            Link { up: true, ..down.clone() },
            Link { name: "crk00000000000".to_owned(), ..down.clone() },
            Link { kind: LinkKind::Bridge, ..down },
        ] {
            assert_eq!(set_down(records, std::slice::from_ref(&other)), [], "{other:?}");
        }
    }

    #[test]
    fn nothing_is_required_without_a_device_that_has_a_carrier() {
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
