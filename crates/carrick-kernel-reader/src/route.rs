//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteVia};

use crate::Reader;

/// A route with one next hop at most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where to.
    pub destination: IpNet,
    /// Its table.
    pub table: u32,
    /// Its protocol number (`RTA_PROTOCOL`).
    pub protocol: u8,
    /// Its type as `ip` names it: `unicast`, `unreachable`, `blackhole`, `throw`.
    pub kind: String,
    /// Its metric.
    pub metric: u32,
    /// The index of its device.
    pub device: Option<u32>,
    /// Its next hop.
    pub gateway: Option<IpAddr>,
    /// Whether the next hop counts as on the link (`onlink`).
    pub onlink: bool,
    /// The preferred source.
    pub source: Option<IpAddr>,
    /// The MTU of the path in bytes.
    pub mtu: Option<u32>,
    /// Whether the MTU is locked.
    pub mtu_is_locked: bool,
}

/// The bit of the MTU in `RTAX_LOCK` (`include/uapi/linux/rtnetlink.h`).
const LOCKED_MTU: u32 = 1 << 2;

impl Reader {
    /// The routes of one table, of both families, in order.
    #[must_use]
    pub fn routes(&self, table: u32) -> Vec<Route> {
        let families = [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
        let mut routes: Vec<Route> = families
            .into_iter()
            .flat_map(|request| self.dump(self.handle().route().get(request).execute()))
            .map(route)
            .filter(|route| route.table == table)
            .collect();
        routes.sort();
        routes
    }
}

fn route(message: RouteMessage) -> Route {
    let header = message.header;
    let any: IpAddr = match header.address_family {
        AddressFamily::Inet => Ipv4Addr::UNSPECIFIED.into(),
        _ => Ipv6Addr::UNSPECIFIED.into(),
    };
    let network = |address| IpNet::new(address, header.destination_prefix_length).expect("the kernel's prefix fits");
    let mut route = Route {
        destination: network(any),
        table: header.table.into(),
        protocol: header.protocol.into(),
        kind: format!("{:?}", header.kind).to_lowercase(),
        metric: 0,
        device: None,
        gateway: None,
        onlink: header.flags.contains(RouteFlags::Onlink),
        source: None,
        mtu: None,
        mtu_is_locked: false,
    };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(destination) => {
                route.destination = network(address(&destination).expect("an IP route has an IP destination"));
            }
            RouteAttribute::Table(table) => route.table = table,
            RouteAttribute::Priority(metric) => route.metric = metric,
            RouteAttribute::Oif(device) => route.device = Some(device),
            RouteAttribute::Gateway(gateway) => route.gateway = address(&gateway),
            RouteAttribute::Via(RouteVia::Inet6(gateway)) => route.gateway = Some(gateway.into()),
            RouteAttribute::Via(RouteVia::Inet(gateway)) => route.gateway = Some(gateway.into()),
            RouteAttribute::PrefSource(source) => route.source = address(&source),
            RouteAttribute::Metrics(metrics) => metrics.into_iter().for_each(|metric| match metric {
                RouteMetric::Mtu(bytes) => route.mtu = Some(bytes),
                RouteMetric::Lock(locked) => route.mtu_is_locked = locked & LOCKED_MTU != 0,
                _ => {}
            }),
            _ => {}
        }
    }
    route
}

fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
