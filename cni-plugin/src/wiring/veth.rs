//! What a pod's veth pair consists of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrick_netlink::address::Address;
use carrick_netlink::neighbour::Neighbour;
use carrick_netlink::queue::TokenBucket;
use carrick_netlink::route::Route;
use carrick_netlink::{Family, MacAddress, Protocol, Socket};
use carrick_pods::Rate;
use carrick_pods::ipam::Record;
use carrick_pods::pod_gateways::gateway;
use carrick_topology::constants::MAIN_TABLE;
use ipnet::IpNet;

use crate::namespace::PodNamespace;
use crate::protocol::Error;

/// `RTPROT_STATIC`: routing daemons in a pod leave such routes alone.
const STATIC_PROTOCOL: u8 = 4;
/// `IFALIASZ` without the closing zero.
const LONGEST_ALIAS: usize = 255;

/// The destination of a default route.
#[must_use]
pub(crate) fn default_network(family: Family) -> IpNet {
    let unspecified: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    };
    IpNet::new_assert(unspecified, 0)
}

/// The veth pair that a record describes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring<'a> {
    pub(super) record: &'a Record,
    pub(super) mtu: u32,
}

/// Netlink sockets in both network namespaces.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(super) host: Socket,
    pub(super) pod: Socket,
}

impl Sockets {
    /// Opens both.
    ///
    /// # Errors
    ///
    /// The plugin cannot enter the pod's namespace.
    pub(crate) fn open(namespace: &PodNamespace) -> Result<Self, Error> {
        let host = Socket::open(Protocol::Route)?;
        let pod = namespace.enter(|| Ok(Socket::open(Protocol::Route)?))?;
        Ok(Self { host, pod })
    }
}

impl<'a> Wiring<'a> {
    /// The veth pair of a record. `mtu` is in bytes, without the Ethernet header.
    pub(crate) fn of(record: &'a Record, mtu: u32) -> Self {
        Self { record, mtu }
    }

    pub(super) fn host_device(self) -> &'a str {
        &self.record.device
    }

    pub(super) fn pod_device(self) -> &'a str {
        &self.record.attachment.interface
    }

    pub(super) fn host_mac(self) -> MacAddress {
        self.record.attachment.host_mac()
    }

    /// The pod's name, which `ip link` shows for the host's end.
    pub(super) fn alias(self) -> String {
        let mut alias = self.record.title();
        alias.truncate(alias.floor_char_boundary(LONGEST_ALIAS));
        alias
    }

    pub(super) fn families(self) -> impl Iterator<Item = Family> {
        self.record.addresses.iter().map(|address| Family::from(*address))
    }

    pub(super) fn pod_addresses(self, index: u32) -> Vec<Address> {
        let addresses = self.record.addresses.iter();
        addresses.map(|address| Address::without_side_effects(index, (*address).into())).collect()
    }

    /// The IPv4 gateway has its own route, so that programs in the pod can add routes through the gateway. A link-local IPv6 gateway
    /// does not need one.
    pub(super) fn pod_routes(self, index: u32) -> Vec<Route> {
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

    pub(super) fn pod_neighbours(self, index: u32) -> Vec<Neighbour> {
        let neighbours = self.families();
        neighbours.map(|family| Neighbour { link: index, address: gateway(family), mac: self.host_mac() }).collect()
    }
}

/// The token bucket for a limit. Each direction has its bucket on the device where the packets leave: a limited pod waits instead of
/// losing packets, and the bucket disappears with the device. The burst is never smaller than the largest packet, which could not
/// leave otherwise.
pub(super) fn bucket(rate: Rate, mtu: u32) -> TokenBucket {
    const BITS: u64 = 8;
    const ETHERNET_HEADER: u32 = 14;
    /// The queue holds the bytes of 1/40 of a second at the full rate.
    const QUEUES_PER_SECOND: u64 = 40;
    let bytes = rate.rate / BITS;
    let burst = u32::try_from(rate.burst / BITS).unwrap_or(u32::MAX).max(mtu.saturating_add(ETHERNET_HEADER));
    let waiting = u32::try_from(bytes / QUEUES_PER_SECOND).unwrap_or(u32::MAX);
    TokenBucket { rate: bytes, burst, limit: burst.saturating_add(waiting) }
}
