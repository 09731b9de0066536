//! The veth pair of one pod, and what stands at each of its ends.
//!
//! ```text
//!   pod                                          host
//!   lo up
//!   eth0: 10.42.0.5/32, fd42::5/128 ──────────── crk…: fe80::1/64
//!   169.254.1.1 on eth0                          10.42.0.5, fd42::5 on crk… (table main, protocol 108)
//!   default via 169.254.1.1, via fe80::1
//!   neighbours: both gateways at crk…'s MAC      neighbours: both addresses at eth0's MAC
//! ```
//!
//! No end ever asks for the other: all neighbours are permanent, so there is no proxy ARP, no lost first
//! packet, and nothing that a pod could answer in another's name. The reverse path of every packet is the
//! device it came by, so strict reverse path filters hold on both ends.

mod inspect;
mod settle;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use carrick_netlink::address::{self, Address, Scope};
use carrick_netlink::link::{self, Change, VethEnd};
use carrick_netlink::neighbour::{self, Neighbour};
use carrick_netlink::queue::{self, TokenBucket};
use carrick_netlink::route::{self, Route};
use carrick_netlink::{Family, MacAddress, Protocol, Request, Socket};
use carrick_pods::Rate;
use carrick_pods::ipam::Record;
use carrick_pods::pod_gateways::gateway;
use carrick_pods::pod_routes::{HostEntries, MAIN_TABLE};
use ipnet::IpNet;

use crate::namespace::PodNamespace;
use crate::protocol::{Code, Error};
use crate::sysctl::Setting;

/// The kernel's number of every namespace's loopback device (`LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;
/// `RTPROT_STATIC`: what routing daemons in a pod leave alone.
const STATIC_PROTOCOL: u8 = 4;
/// `IFALIASZ` without the closing zero.
const LONGEST_ALIAS: usize = 255;

/// Everything.
#[must_use]
pub(crate) fn default_network(family: Family) -> IpNet {
    let unspecified: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNet::new_assert(unspecified, 0)
}

/// What a pod's connection consists of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring<'a> {
    record: &'a Record,
    mtu: u32,
}

/// Netlink at both ends.
#[derive(Debug)]
pub(crate) struct Sockets {
    host: Socket,
    pod: Socket,
}

impl Sockets {
    /// Opens both.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered.
    pub(crate) fn open(namespace: &PodNamespace) -> Result<Self, Error> {
        let host = Socket::open(Protocol::Route)?;
        let pod = namespace.enter(|| Ok(Socket::open(Protocol::Route)?))?;
        Ok(Self { host, pod })
    }
}

impl<'a> Wiring<'a> {
    /// The wiring that belongs to a record.
    pub(crate) fn of(record: &'a Record, mtu: u32) -> Self {
        Self { record, mtu }
    }

    /// Makes the pair and all that is on it; on failure nothing of it stays.
    ///
    /// # Errors
    ///
    /// The kernel refused something.
    pub(crate) fn connect(&self, sockets: &mut Sockets, namespace: &PodNamespace) -> Result<(), Error> {
        let near = VethEnd { name: self.host_device().to_owned(), mtu: self.mtu, mac: Some(self.host_mac()) };
        let far = VethEnd { name: self.pod_device().to_owned(), mtu: self.mtu, mac: Some(self.record.pod_mac()) };
        sockets
            .host
            .execute(&link::create_veth(&near, &far, namespace.file().as_fd()))
            .map_err(|error| self.explain_creation(&mut sockets.host, error))?;
        if let Err(mut error) = self.configure(sockets, namespace) {
            if let Err(again) = disconnect(&mut sockets.host, self.host_device()) {
                error.details.push_str(&format!("; and could not be undone: {again}"));
            }
            return Err(error);
        }
        Ok(())
    }

    fn host_device(&self) -> &'a str {
        &self.record.device
    }

    fn pod_device(&self) -> &'a str {
        &self.record.attachment.interface
    }

    fn host_mac(&self) -> MacAddress {
        self.record.attachment.host_mac()
    }

    /// The pod's name for `ip link`, at the host's end.
    fn alias(&self) -> String {
        let mut alias = self.record.title();
        alias.truncate(alias.floor_char_boundary(LONGEST_ALIAS));
        alias
    }

    /// Whether host ports lead to the pod from the host's own loopback.
    fn is_reached_from_loopback(&self) -> bool {
        self.record.host_ports.iter().any(|port| port.family() == Family::V4)
    }

    fn configure(&self, sockets: &mut Sockets, namespace: &PodNamespace) -> Result<(), Error> {
        self.configure_host(&mut sockets.host)?;
        self.configure_pod(&mut sockets.pod, namespace)?;
        self.settle(sockets)
    }

    fn configure_host(&self, socket: &mut Socket) -> Result<(), Error> {
        let index = link::by_name(socket, self.host_device())?.index;
        self.apply_settings(self.host_device(), |family| match family {
            Family::V4 => &[Setting::Forwarding(Family::V4)],
            Family::V6 => &[
                Setting::Ipv6,
                Setting::NoOwnAddress,
                Setting::NoDuplicateDetection,
                Setting::NoRouterAdvertisements,
                Setting::Forwarding(Family::V6),
            ],
        })?;
        if self.is_reached_from_loopback() {
            Setting::LoopbackRouting.apply(self.host_device())?;
        }
        let up = Change { up: Some(true), alias: Some(self.alias()), ..Change::default() };
        let mut requests = vec![link::change(index, self.host_device(), &up)];
        requests.extend(
            self.record.ingress.map(|rate| queue::replace_root(index, self.host_device(), &bucket(rate, self.mtu))),
        );
        requests.extend(self.host_address(index).as_ref().map(address::add));
        let entries = HostEntries::of(self.record, index);
        requests.extend(entries.routes.iter().map(route::add));
        requests.extend(entries.neighbours.iter().map(neighbour::replace));
        execute_all(socket, &requests)
    }

    fn configure_pod(&self, socket: &mut Socket, namespace: &PodNamespace) -> Result<(), Error> {
        let index = link::by_name(socket, self.pod_device())?.index;
        namespace.enter(|| {
            self.apply_settings(self.pod_device(), |family| match family {
                Family::V4 => &[],
                Family::V6 => &[Setting::Ipv6, Setting::NoDuplicateDetection, Setting::NoRouterAdvertisements],
            })
        })?;
        let up = Change { up: Some(true), ..Change::default() };
        let mut requests = vec![link::change(LOOPBACK, "lo", &up), link::change(index, self.pod_device(), &up)];
        requests.extend(
            self.record.egress.map(|rate| queue::replace_root(index, self.pod_device(), &bucket(rate, self.mtu))),
        );
        requests.extend(self.pod_addresses(index).iter().map(address::add));
        requests.extend(self.pod_routes(index).iter().map(route::add));
        requests.extend(self.pod_neighbours(index).iter().map(neighbour::replace));
        execute_all(socket, &requests)
    }

    fn apply_settings(&self, device: &str, of: impl Fn(Family) -> &'static [Setting]) -> Result<(), Error> {
        self.families().flat_map(of).try_for_each(|setting| setting.apply(device))
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        self.record.addresses.iter().map(|address| Family::from(*address))
    }

    /// The IPv6 gateway is a real address, so that pods can ping it and see it in traces. The IPv4
    /// one is not: it would become a source address of the host's own packets to pods.
    fn host_address(&self, index: u32) -> Option<Address> {
        let network = IpNet::new_assert(gateway(Family::V6), 64);
        let address =
            Address { no_prefix_route: false, scope: Scope::Link, ..Address::without_side_effects(index, network) };
        self.families().any(|family| family == Family::V6).then_some(address)
    }

    fn pod_addresses(&self, index: u32) -> Vec<Address> {
        let addresses = self.record.addresses.iter();
        addresses.map(|address| Address::without_side_effects(index, (*address).into())).collect()
    }

    /// The IPv4 gateway gets a route of its own, so that programs in the pod can add more routes through it.
    /// A link-local IPv6 gateway needs none.
    fn pod_routes(&self, index: u32) -> Vec<Route> {
        let through = |destination| Route::through(destination, MAIN_TABLE, STATIC_PROTOCOL, index);
        self.families()
            .flat_map(|family| {
                let default = through(default_network(family)).via(gateway(family));
                match family {
                    Family::V4 => vec![through(gateway(family).into()), default],
                    Family::V6 => vec![default],
                }
            })
            .collect()
    }

    fn pod_neighbours(&self, index: u32) -> Vec<Neighbour> {
        let neighbours = self.families();
        neighbours.map(|family| Neighbour { link: index, address: gateway(family), mac: self.host_mac() }).collect()
    }

    /// The kernel does not say which of the two names is taken.
    fn explain_creation(&self, host: &mut Socket, error: carrick_netlink::Error) -> Error {
        if !error.is_exists() || link::by_name(host, self.host_device()).is_ok() {
            return error.into();
        }
        let details = format!("CNI_IFNAME: the pod has a device {} already", self.pod_device());
        Error::new(Code::InvalidEnvironment, "the interface name is taken", details)
    }
}

/// Removes a pair by the name of the host's end, with all addresses, routes and neighbours at both ends.
/// One that is gone already is fine.
///
/// # Errors
///
/// The kernel refused.
pub(crate) fn disconnect(host: &mut Socket, host_device: &str) -> Result<(), carrick_netlink::Error> {
    let deleted =
        link::by_name(host, host_device).and_then(|link| host.execute(&link::delete(link.index, host_device)));
    match deleted {
        Err(error) if error.is_not_found() => Ok(()),
        deleted => deleted,
    }
}

/// What leaves by the pod's end is bounded there, so that the pod waits instead of losing packets, and so that nothing of it
/// is left when the device is gone. The burst holds the largest packet at least, or nothing would ever leave.
fn bucket(rate: Rate, mtu: u32) -> TokenBucket {
    const BITS: u64 = 8;
    const ETHERNET_HEADER: u32 = 14;
    /// What may wait: so many parts of a second at the full rate.
    const LATENCY: u64 = 40;
    let bytes = rate.rate / BITS;
    let burst = u32::try_from(rate.burst / BITS).unwrap_or(u32::MAX).max(mtu.saturating_add(ETHERNET_HEADER));
    let waiting = u32::try_from(bytes / LATENCY).unwrap_or(u32::MAX);
    TokenBucket { rate: bytes, burst, limit: burst.saturating_add(waiting) }
}

fn execute_all(socket: &mut Socket, requests: &[Request]) -> Result<(), Error> {
    for result in socket.batch(requests) {
        result?;
    }
    Ok(())
}
