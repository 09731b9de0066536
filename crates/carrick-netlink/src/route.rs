//! Routes.

mod listed;
mod next_hops;
mod read;

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteScope, RouteType, RouteVia,
};

pub use listed::{ListedRoute, ReceivedRoute, dump, dump_as};
pub use next_hops::dump_next_hops;
pub(crate) use read::read;

use crate::address::Scope;
use crate::family::KernelFamily as _;
use crate::request::encode;
use crate::{Cause, Error, Request, Socket};
use carrick_types::Family;

pub(crate) const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;
/// The bit of the MTU (`RTAX_MTU`) in `RTAX_LOCK`.
const MTU_LOCK: u32 = 1 << 2;
/// What the kernel makes of metric 0 in IPv6 (`IP6_RT_PRIO_USER`).
const DEFAULT_METRIC_V6: u32 = 1024;

/// A route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where to; host bits are zero.
    pub destination: IpNet,
    /// The routing table.
    pub table: u32,
    /// Lower wins between routes for one destination. IPv6 has no 0: the kernel takes 1024 instead.
    pub metric: u32,
    /// The program that added the route, by its number (`RTPROT_*`).
    pub protocol: u8,
    /// What happens to packets.
    pub kind: Kind,
    /// How far away the destination is; in IPv6 always [`Scope::Universe`].
    pub scope: Scope,
    /// The number of the device that packets leave by.
    pub device: Option<u32>,
    /// The next hop; an IPv4 route may have an IPv6 one (RFC 5549).
    pub via: Option<IpAddr>,
    /// Whether the next hop is taken to be on the link although no route says so.
    pub onlink: bool,
    /// The source address that the host's own packets take.
    pub source: Option<IpAddr>,
    /// MTU of the path.
    pub mtu: Option<PathMtu>,
}

/// MTU of a path in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathMtu {
    /// The kernel lowers it for a destination where it learns that the path takes less.
    Learned(u32),
    /// It stays, whatever the kernel learns (`mtu lock`).
    Locked(u32),
}

/// What happens to the packets of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// They are forwarded.
    Unicast,
    /// They are delivered to this host.
    Local,
    /// They are dropped in silence.
    Blackhole,
    /// They are dropped, and the sender learns that the destination is unreachable.
    Unreachable,
    /// They are dropped, and the sender learns that communication is prohibited.
    Prohibit,
    /// The search goes on with the next rule.
    Throw,
    /// Another kind, by number (`RTN_*`).
    Other(u8),
}

/// Which routes to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// The family.
    pub family: Family,
    /// The table, or all.
    pub table: Option<u32>,
    /// The program that added them, by its number; `None` for any.
    pub protocol: Option<u8>,
    /// The device that their packets leave by, or any.
    pub device: Option<u32>,
}

impl Route {
    /// A route out of a device, with the kernel's defaults.
    #[must_use]
    pub fn through(destination: IpNet, table: u32, protocol: u8, device: u32) -> Self {
        Self {
            device: Some(device),
            scope: Scope::Link,
            ..Self::without_device(destination, table, protocol, Kind::Unicast)
        }
        .normalized()
    }

    /// A route that forwards nothing: unreachable, blackhole, prohibit or throw.
    #[must_use]
    pub fn without_device(destination: IpNet, table: u32, protocol: u8, kind: Kind) -> Self {
        Self {
            destination,
            table,
            metric: 0,
            protocol,
            kind,
            scope: Scope::Universe,
            device: None,
            via: None,
            onlink: false,
            source: None,
            mtu: None,
        }
        .normalized()
    }

    /// The same route through a next hop.
    #[must_use]
    pub fn via(self, via: IpAddr) -> Self {
        Self { via: Some(via), scope: Scope::Universe, ..self }
    }

    /// The route as the kernel would report it: host bits cleared, IPv6's own metric and scope.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        self.destination = self.destination.trunc();
        if self.family() == Family::V6 {
            self.scope = Scope::Universe;
            if self.metric == 0 {
                self.metric = DEFAULT_METRIC_V6;
            }
        }
        self
    }

    /// The family of the destination.
    #[must_use]
    pub fn family(&self) -> Family {
        self.destination.into()
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind != Kind::Unicast {
            write!(f, "{:?} ", self.kind)?;
        }
        write!(f, "{} in table {}", self.destination, self.table)?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(device) = self.device {
            write!(f, " on link {device}")?;
        }
        write!(f, " metric {}", self.metric)
    }
}

/// The route that the kernel takes to `destination` for packets with this firewall mark (0 for none).
///
/// # Errors
///
/// The destination is unreachable (`ENETUNREACH`, `EHOSTUNREACH`), or see [`Socket::query`].
pub fn lookup(socket: &mut Socket, destination: IpAddr, mark: u32) -> Result<Route, Error> {
    const OPERATION: &str = "look up route to";
    let mut message = RouteMessage::default();
    message.header.address_family = Family::from(destination).to_kernel();
    message.header.destination_prefix_length = IpNet::from(destination).max_prefix_len();
    message.attributes.push(RouteAttribute::Destination(destination.into()));
    if mark != 0 {
        message.attributes.push(RouteAttribute::Mark(mark));
    }
    let object = destination.to_string();
    let request = Request::get(OPERATION, object.clone(), RTM_GETROUTE, encode(&message));
    let routes =
        socket.query(&request, |frame| read(frame).map_err(|cause| Error::new(OPERATION, object.clone(), cause)))?;
    routes.into_iter().next().ok_or_else(|| Error::new(OPERATION, object, Cause::Missing))
}

/// Adds a route; one with the same destination, table and metric is an error ([`Error::is_exists`]).
#[must_use]
pub fn add(route: &Route) -> Request {
    write("add route", route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL)
}

/// Adds a route, or puts it in the place of the one with the same destination, table and metric,
/// without a moment in which there is none.
#[must_use]
pub fn replace(route: &Route) -> Request {
    write("replace route", route, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes a route; all fields must match.
#[must_use]
pub fn delete(route: &Route) -> Request {
    write("delete route", route, RTM_DELROUTE, 0)
}

impl Filter {
    fn matches(&self, route: &Route) -> bool {
        // A kernel without a family lists the routes of the others instead.
        self.family == route.family()
            && self.table.is_none_or(|table| table == route.table)
            && self.protocol.is_none_or(|protocol| protocol == route.protocol)
            && self.device.is_none_or(|device| route.device == Some(device))
    }
}

fn write(operation: &'static str, route: &Route, message_type: u16, flags: u16) -> Request {
    Request::write(operation, route.to_string(), message_type, flags, encode(&to_message(route)))
}

fn to_message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: route.family().to_kernel(),
        destination_prefix_length: route.destination.prefix_len(),
        source_prefix_length: 0,
        tos: 0,
        table: u8::try_from(route.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
        protocol: route.protocol.into(),
        scope: RouteScope::from(u8::from(route.scope)),
        kind: RouteType::from(u8::from(route.kind)),
        flags: if route.onlink { RouteFlags::Onlink } else { RouteFlags::empty() },
    };
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Table(route.table));
    attributes.push(RouteAttribute::Destination(route.destination.addr().into()));
    if route.metric != 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    attributes.extend(route.device.map(RouteAttribute::Oif));
    attributes.extend(route.via.map(|via| match (route.family(), via) {
        (Family::V4, IpAddr::V6(via)) => RouteAttribute::Via(RouteVia::Inet6(via)),
        (_, via) => RouteAttribute::Gateway(via.into()),
    }));
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    attributes.extend(route.mtu.map(|mtu| RouteAttribute::Metrics(metrics(mtu))));
    message
}

fn metrics(mtu: PathMtu) -> Vec<RouteMetric> {
    match mtu {
        PathMtu::Learned(bytes) => vec![RouteMetric::Mtu(bytes)],
        PathMtu::Locked(bytes) => vec![RouteMetric::Lock(MTU_LOCK), RouteMetric::Mtu(bytes)],
    }
}

impl From<Kind> for u8 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Unicast => RouteType::Unicast.into(),
            Kind::Local => RouteType::Local.into(),
            Kind::Blackhole => RouteType::BlackHole.into(),
            Kind::Unreachable => RouteType::Unreachable.into(),
            Kind::Prohibit => RouteType::Prohibit.into(),
            Kind::Throw => RouteType::Throw.into(),
            Kind::Other(number) => number,
        }
    }
}

impl From<u8> for Kind {
    fn from(number: u8) -> Self {
        match RouteType::from(number) {
            RouteType::Unicast => Self::Unicast,
            RouteType::Local => Self::Local,
            RouteType::BlackHole => Self::Blackhole,
            RouteType::Unreachable => Self::Unreachable,
            RouteType::Prohibit => Self::Prohibit,
            RouteType::Throw => Self::Throw,
            _ => Self::Other(number),
        }
    }
}
