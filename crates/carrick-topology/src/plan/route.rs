//! Routes in Carrick's own table.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::constants::{ROUTE_METRIC, UNREACHABLE_METRIC};
use crate::model::DeviceName;

/// Where a packet goes next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NextHop {
    /// Out of the WireGuard device; cryptokey routing picks the peer.
    WireGuard,
    /// Out of the VXLAN device to the neighbour with this mesh address (`onlink`).
    Vxlan {
        /// The neighbour's mesh address, of the destination's family.
        via: IpAddr,
    },
    /// To a node of the same subnet, without encapsulation.
    Direct {
        /// The node's internal address, of the destination's family.
        via: IpAddr,
        /// This node's device in that subnet.
        device: DeviceName,
    },
    /// None: the kernel answers "unreachable".
    Unreachable,
    /// Not in this table: the kernel continues with the next rule.
    Throw,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub destination: IpNet,
    /// The next hop.
    pub next_hop: NextHop,
    /// The source address of the host's own packets (`RTA_PREFSRC`).
    pub source: Option<IpAddr>,
    /// MTU of the path in bytes, if it is below that of the device.
    pub mtu: Option<u32>,
}

impl Route {
    /// The route's metric: destination and metric together are its identity in the table.
    #[must_use]
    pub const fn metric(&self) -> u32 {
        match self.next_hop {
            NextHop::Unreachable => UNREACHABLE_METRIC,
            NextHop::WireGuard | NextHop::Vxlan { .. } | NextHop::Direct { .. } | NextHop::Throw => ROUTE_METRIC,
        }
    }
}
