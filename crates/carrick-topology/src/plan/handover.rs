//! What a node does while traffic moves from one gateway to another.
//!
//! WireGuard accepts a source from one peer only. Around the moment at which the far end moves a source from one peer to another, what
//! the new carrier forwards goes encapsulated into VXLAN between the gateways' mesh addresses, which never move: the far end takes it before
//! and after alike.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{DeviceName, MacAddress, NodeName};

/// The VXLAN device (RFC 7348) through which packets go encapsulated inside the tunnels, and what goes there. It holds the node's IPv4 mesh
/// addresses, as the other devices do. Outer packets are of IPv4, which alone may be fragmented on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverPlan {
    /// Its name.
    pub device: DeviceName,
    /// The VXLAN network identifier.
    pub identifier: u32,
    /// UDP destination port.
    pub port: u16,
    /// Its link-layer address.
    pub mac: MacAddress,
    /// Its MTU in bytes: that of the WireGuard device. What does not fit into the tunnel together with its outer headers is
    /// fragmented on the outside, which IPv4 permits.
    pub mtu: u32,
    /// Gateways of other locations that take encapsulated what this node forwards to them, or would.
    pub receivers: BTreeMap<NodeName, HandoverReceiver>,
    /// Gateways of other locations from which encapsulated packets are accepted.
    pub senders: BTreeMap<NodeName, HandoverSender>,
    /// Where forwarded packets go encapsulated; the node's own go as ever. Routes of [`crate::constants::HANDOVER_TABLE`], in order. Their MTU
    /// is locked (`mtu lock`): the kernel does not lower it by what it finds the tunnel below to take.
    pub routes: Vec<HandoverRoute>,
    /// Networks inside destinations of [`Self::routes`] that go as ever (`throw` routes).
    pub exceptions: BTreeSet<IpNet>,
}

/// A gateway to which packets go encapsulated: one forwarding entry (its link-layer address at its mesh address) and one neighbour entry for
/// each next hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverReceiver {
    /// The link-layer address of its device.
    pub mac: MacAddress,
    /// Where the outer packets go: an IPv4 mesh address.
    pub address: IpAddr,
    /// The next hops of routes to it: its mesh addresses.
    pub next_hops: BTreeSet<IpAddr>,
}

/// A gateway from which encapsulated packets are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverSender {
    /// The source of the outer packets: an IPv4 mesh address.
    pub address: IpAddr,
    /// The sources of the inner packets: all that the gateway carries, and what it will carry in a moment.
    pub sources: BTreeSet<IpNet>,
}

/// One route for forwarded packets, out of the device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HandoverRoute {
    /// Where to.
    pub destination: IpNet,
    /// The next hop (`onlink`), of the destination's family.
    pub via: IpAddr,
    /// MTU of the path in bytes.
    pub mtu: u32,
}
