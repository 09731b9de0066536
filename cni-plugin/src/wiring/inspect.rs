//! Comparison of a veth pair with what ADD configured.

use std::net::IpAddr;

use carrick_netlink::link::{self, Link, LinkKind};
use carrick_netlink::route::{self, Filter, Route};
use carrick_netlink::{Family, Socket, address, neighbour, queue};
use carrick_pods::Rate;
use carrick_pods::pod_routes::HostEntries;
use carrick_topology::constants::MAIN_TABLE;

use super::veth::{Sockets, Wiring, bucket};
use crate::protocol::{Error, PreviousResult};

impl Wiring<'_> {
    /// What is missing or wrong, as one sentence each. Addresses, routes and the MAC address in the pod are compared with `expected`,
    /// because later plugins of the list may have changed or removed some.
    ///
    /// # Errors
    ///
    /// The kernel cannot be read.
    pub(crate) fn inspect(&self, sockets: &mut Sockets, expected: &PreviousResult) -> Result<Vec<String>, Error> {
        let mut problems = self.inspect_host(&mut sockets.host)?;
        problems.extend(self.inspect_pod(&mut sockets.pod, expected)?);
        Ok(problems)
    }

    fn inspect_host(&self, socket: &mut Socket) -> Result<Vec<String>, Error> {
        let device = self.host_device();
        let Some(link) = find(socket, device)? else { return Ok(vec![format!("the host has no device {device}")]) };
        let mut problems = usable(&link, "the host's device");
        problems.extend(missing_limit(socket, &link, self.record.ingress)?);
        let routes = routes(socket, link.index)?;
        let entries = HostEntries::of(self.record, link.index);
        let missing = entries.routes.iter().filter(|wanted| !routes.contains(wanted));
        problems.extend(missing.map(|route| format!("the host has no route to {}", route.destination)));
        let neighbours = neighbour::dump(socket, link.index)?;
        let missing = entries.neighbours.iter().filter(|wanted| !neighbours.contains(wanted));
        problems.extend(missing.map(|neighbour| format!("the host has no neighbour {neighbour}")));
        Ok(problems)
    }

    fn inspect_pod(&self, socket: &mut Socket, expected: &PreviousResult) -> Result<Vec<String>, Error> {
        let device = self.pod_device();
        let position =
            expected.interfaces.iter().position(|interface| interface.name == device && !interface.sandbox.is_empty());
        let Some(position) = position else {
            return Ok(vec![format!("prevResult does not name the pod's device {device}")]);
        };
        let Some(link) = find(socket, device)? else { return Ok(vec![format!("the pod has no device {device}")]) };
        let mut problems = usable(&link, "the pod's device");
        problems.extend(missing_limit(socket, &link, self.record.egress)?);

        let mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let wanted = &expected.interfaces[position].mac;
        if !wanted.is_empty() && !wanted.eq_ignore_ascii_case(&mac) {
            problems.push(format!("{device} has the MAC address {mac} instead of {wanted}"));
        }

        let usable: Vec<IpAddr> = address::dump(socket, Some(link.index))?
            .into_iter()
            .filter(|address| !address.unusable)
            .map(|address| address.network.addr())
            .collect();
        let wanted = expected.ips.iter().filter(|ip| ip.interface == Some(position)).map(|ip| ip.address.addr());
        let missing = wanted.filter(|wanted| !usable.contains(wanted));
        problems.extend(missing.map(|address| format!("{device} has no address {address}")));

        let routes = routes(socket, link.index)?;
        let exists = |destination, gateway: Option<IpAddr>| {
            let mut found = routes.iter().filter(|route: &&Route| route.destination == destination);
            found.any(|route| gateway.is_none() || route.via == gateway)
        };
        let missing = expected.routes.iter().filter(|wanted| !exists(wanted.destination, wanted.gateway));
        problems.extend(missing.map(|route| format!("the pod has no route to {}", route.destination)));

        let neighbours = neighbour::dump(socket, link.index)?;
        let wanted = self.pod_neighbours(link.index);
        let missing = wanted.iter().filter(|wanted| !neighbours.contains(wanted));
        problems.extend(missing.map(|neighbour| format!("the pod has no neighbour {neighbour}")));
        Ok(problems)
    }
}

fn find(socket: &mut Socket, device: &str) -> Result<Option<Link>, Error> {
    match link::by_name(socket, device) {
        Err(error) if error.is_not_found() => Ok(None),
        found => Ok(Some(found?)),
    }
}

fn usable(link: &Link, what: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if link.kind != LinkKind::Veth {
        problems.push(format!("{what} {} is not a veth device", link.name));
    }
    if !link.up {
        problems.push(format!("{what} {} is down", link.name));
    }
    problems
}

/// Reports a device without the limit `rate`. A larger burst is accepted: the MTU may have changed since ADD, and a bucket has room for
/// the largest packet.
fn missing_limit(socket: &mut Socket, link: &Link, rate: Option<Rate>) -> Result<Option<String>, Error> {
    let Some(rate) = rate else { return Ok(None) };
    let wanted = bucket(rate, 0);
    let found = queue::root_bound(socket, link.index, &link.name)?;
    let is_as_added = found.is_some_and(|found| found.rate == wanted.rate && found.limit >= wanted.limit);
    let problem = || format!("{} has no bandwidth limit of {} bits per second", link.name, rate.rate);
    Ok((!is_as_added).then(problem))
}

fn routes(socket: &mut Socket, device: u32) -> Result<Vec<Route>, Error> {
    let mut routes = Vec::new();
    for family in Family::BOTH {
        let filter = Filter { family, table: Some(MAIN_TABLE), protocol: None, device: Some(device) };
        routes.extend(route::dump(socket, &filter)?);
    }
    Ok(routes)
}
