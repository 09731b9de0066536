//! One route of Carrick's table, with devices by name: numbers change when a device is created again.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use carrick_netlink::Family;
use carrick_netlink::route::{Filter, ListedRoute, PathMtu, ReceivedRoute};
use carrick_netlink::rule::Rule;
use carrick_topology::DeviceName;
use carrick_topology::constants::{
    HANDOVER_OUTER_RULE_PRIORITY, HANDOVER_OUTER_TABLE, HANDOVER_ROUTE_PROTOCOL, HANDOVER_RULE_PRIORITY,
    HANDOVER_TABLE, LOCATION_ROUTE_PROTOCOL, LOCATION_RULE_PRIORITY, LOCATION_TABLE, ROUTE_PROTOCOL, ROUTING_TABLE,
    RULE_PRIORITY,
};
use carrick_topology::plan;
use ipnet::IpNet;

/// One of Carrick's tables, the priority of the rules that lead to it, and the protocol number on these rules and on its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RoutingTable {
    pub(crate) number: u32,
    pub(crate) rule_priority: u32,
    pub(crate) protocol: u8,
}

/// Whether a routing table is one of Carrick's.
#[must_use]
pub fn is_own_table(number: u32) -> bool {
    RoutingTable::ALL.iter().any(|table| table.number == number)
}

impl RoutingTable {
    /// Where the mesh is.
    pub(crate) const MESH: Self =
        Self { number: ROUTING_TABLE, rule_priority: RULE_PRIORITY, protocol: ROUTE_PROTOCOL };
    /// Where forwarded packets go encapsulated during a handover.
    pub(crate) const HANDOVER: Self =
        Self { number: HANDOVER_TABLE, rule_priority: HANDOVER_RULE_PRIORITY, protocol: HANDOVER_ROUTE_PROTOCOL };
    /// Where the encapsulated packets themselves go, on the outside.
    pub(crate) const HANDOVER_OUTER: Self = Self {
        number: HANDOVER_OUTER_TABLE,
        rule_priority: HANDOVER_OUTER_RULE_PRIORITY,
        protocol: HANDOVER_ROUTE_PROTOCOL,
    };
    /// Where packets out of tunnels go that are for other nodes of the location.
    pub(crate) const LOCATION: Self =
        Self { number: LOCATION_TABLE, rule_priority: LOCATION_RULE_PRIORITY, protocol: LOCATION_ROUTE_PROTOCOL };
    /// All of them, in the order in which a cleanup removes them.
    pub(crate) const ALL: [Self; 4] = [Self::HANDOVER, Self::HANDOVER_OUTER, Self::LOCATION, Self::MESH];

    /// A rule that leads all packets of a family to it.
    pub(crate) const fn rule(self, family: Family) -> Rule {
        Rule::new(family, self.rule_priority, self.number, self.protocol)
    }

    /// The routes in it, whichever program added them: the table is Carrick's.
    pub(crate) const fn routes(self, family: Family) -> Filter {
        Filter { family, table: Some(self.number), protocol: None, device: None }
    }
}

/// A route of one of Carrick's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRoute {
    /// Where to.
    pub destination: IpNet,
    /// Lower wins; destination and metric together are the route's identity in the table.
    pub metric: u32,
    /// Through what.
    pub hop: Hop,
    /// The source that the host's own packets take.
    pub source: Option<IpAddr>,
    /// MTU of the path, where it is below the device's or is to stay.
    pub mtu: Option<PathMtu>,
}

/// Where the packets of a route go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// Out of a device.
    Device {
        /// The device.
        device: DeviceName,
        /// The next hop on it.
        via: Option<IpAddr>,
        /// Whether the next hop is taken to be there although no route says so.
        onlink: bool,
    },
    /// Nowhere: the kernel answers "unreachable".
    Unreachable,
    /// Out of this table: the kernel goes on with the next rule.
    Throw,
    /// Something that no plan asks for, as found in the kernel.
    Foreign(Box<ListedRoute>),
}

/// The order in which [`super::diff()`] walks routes.
pub(crate) fn by_identity(a: &TableRoute, b: &TableRoute) -> Ordering {
    a.identity().cmp(&b.identity())
}

impl TableRoute {
    /// A planned route, out of the devices that the plan names.
    #[must_use]
    pub fn planned(route: &plan::Route, wireguard: &DeviceName, vxlan: &DeviceName) -> Self {
        let through = |device: &DeviceName, via, onlink| Hop::Device { device: device.clone(), via, onlink };
        Self {
            destination: route.destination.trunc(),
            metric: route.metric(),
            hop: match &route.next_hop {
                plan::NextHop::WireGuard => through(wireguard, None, false),
                plan::NextHop::Vxlan { via } => through(vxlan, Some(*via), true),
                plan::NextHop::Direct { via, device } => through(device, Some(*via), false),
                plan::NextHop::Unreachable => Hop::Unreachable,
                plan::NextHop::Throw => Hop::Throw,
            },
            source: route.source,
            mtu: route.mtu.map(PathMtu::Learned),
        }
    }

    /// A route as found in a table whose routes have this protocol number; `name` finds the devices that plans can name.
    pub(crate) fn found(received: ReceivedRoute<'_>, protocol: u8, name: impl Fn(u32) -> Option<DeviceName>) -> Self {
        use carrick_netlink::route::Kind;
        let route = received.route;
        let is_plain = route.protocol == protocol && !received.is_selective();
        let device = route.device.and_then(name);
        let hop = match (is_plain, route.kind, device) {
            (true, Kind::Unicast, Some(device)) => Hop::Device { device, via: route.via, onlink: route.onlink },
            (true, Kind::Unreachable, _) => Hop::Unreachable,
            (true, Kind::Throw, _) => Hop::Throw,
            _ => Hop::Foreign(Box::new(received.to_listed())),
        };
        Self { destination: route.destination, metric: route.metric, hop, source: route.source, mtu: route.mtu }
    }

    /// What the kernel tells routes of a table apart by. A selective route never has the identity of a planned one.
    fn identity(&self) -> (IpNet, u32, bool) {
        let is_selective = matches!(&self.hop, Hop::Foreign(listed) if listed.is_selective());
        (self.destination, self.metric, is_selective)
    }

    /// The device that packets leave by.
    #[must_use]
    pub fn device(&self) -> Option<&DeviceName> {
        match &self.hop {
            Hop::Device { device, .. } => Some(device),
            Hop::Unreachable | Hop::Throw | Hop::Foreign(_) => None,
        }
    }

    /// The route of `table` as netlink wants it; `index` numbers [`Self::device`].
    pub(crate) fn to_kernel(&self, index: Option<u32>, table: RoutingTable) -> carrick_netlink::route::Route {
        use carrick_netlink::route::{Kind, Route};
        let RoutingTable { number, protocol, .. } = table;
        let without_device = |kind| Route::without_device(self.destination, number, protocol, kind);
        let route = match (&self.hop, index) {
            (Hop::Foreign(listed), _) => return listed.route,
            (Hop::Device { via, onlink, .. }, index) => {
                let route = Route::through(self.destination, number, protocol, index.unwrap_or_default());
                Route { onlink: *onlink, ..via.map_or(route, |via| route.via(via)) }
            }
            (Hop::Unreachable, _) => without_device(Kind::Unreachable),
            (Hop::Throw, _) => without_device(Kind::Throw),
        };
        Route { metric: self.metric, source: self.source, mtu: self.mtu, ..route }.normalized()
    }
}

impl fmt::Display for TableRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} metric {}", self.destination, self.metric)?;
        match &self.hop {
            Hop::Device { device, via: None, .. } => write!(f, " by {device}"),
            Hop::Device { device, via: Some(via), .. } => write!(f, " via {via} by {device}"),
            Hop::Unreachable => f.write_str(" unreachable"),
            Hop::Throw => f.write_str(" throw"),
            Hop::Foreign(_) => f.write_str(" (foreign)"),
        }
    }
}
