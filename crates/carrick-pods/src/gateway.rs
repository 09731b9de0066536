//! The address of the pods' next hop.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrick_netlink::Family;

/// The gateway of all pods, as a pod's routes name it.
#[must_use]
pub fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(169, 254, 1, 1).into(),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}
