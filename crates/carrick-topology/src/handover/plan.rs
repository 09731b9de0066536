//! What the planner tells the kernel thread.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{DeviceName, MacAddress, NodeName, host_net};

/// The VXLAN device (RFC 7348) that encapsulates packets inside the tunnels, and what goes through it. The device holds the node's IPv4
/// mesh addresses, as the other devices do. Outer packets are IPv4, which routers may fragment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverPlan {
    /// The device's name.
    pub device: DeviceName,
    /// The VXLAN network identifier.
    pub identifier: u32,
    /// UDP destination port of outer packets.
    pub port: u16,
    /// The device's link-layer address.
    pub mac: MacAddress,
    /// The device's MTU in bytes: that of the WireGuard device. An outer packet that does not fit into the tunnel is fragmented.
    pub mtu: u32,
    /// Gateways of other locations that accept encapsulated packets from this node.
    pub receivers: BTreeMap<NodeName, HandoverReceiver>,
    /// Gateways of other locations from which this node accepts encapsulated packets.
    pub senders: BTreeMap<NodeName, HandoverSender>,
    /// Routes of [`crate::constants::HANDOVER_TABLE`], in order: which forwarded packets go encapsulated. The node's own packets never do.
    ///
    /// The MTU of these routes is locked (`mtu lock`): the kernel does not lower it to what it finds the tunnel to take.
    pub routes: Vec<HandoverRoute>,
    /// Networks inside destinations of [`Self::routes`] whose packets are not encapsulated (`throw` routes).
    pub exceptions: BTreeSet<IpNet>,
}

/// A gateway to which packets go encapsulated: one forwarding entry (its link-layer address at its mesh address), and one neighbour entry
/// for each next hop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverReceiver {
    /// The link-layer address of the gateway's handover device.
    pub mac: MacAddress,
    /// The destination of outer packets: an IPv4 mesh address.
    pub address: IpAddr,
    /// The next hops of routes to the gateway: its mesh addresses.
    pub next_hops: BTreeSet<IpAddr>,
}

/// A gateway from which encapsulated packets are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverSender {
    /// The source of outer packets: an IPv4 mesh address.
    pub address: IpAddr,
    /// The sources of inner packets: all that the gateway carries before and after the handover.
    pub sources: BTreeSet<IpNet>,
}

/// One route for forwarded packets, out of the handover device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HandoverRoute {
    /// Where to.
    pub destination: IpNet,
    /// The next hop (`onlink`), of the destination's family.
    pub via: IpAddr,
    /// MTU of the path in bytes.
    pub mtu: u32,
}

/// What the firewall accepts from the handover device: nothing, as long as the sets are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverFilter {
    /// UDP port of outer packets, which are accepted from the WireGuard device alone.
    pub port: u16,
    /// The accepted sources of outer packets.
    pub senders: BTreeSet<IpAddr>,
    /// The accepted sources of inner packets.
    pub sources: BTreeSet<IpNet>,
}

impl HandoverPlan {
    /// The destinations that may leave by the handover device: those of the routes, and the receivers, to which encapsulated probes go. None
    /// where nothing is sent to a receiver.
    pub fn leaving(&self) -> impl Iterator<Item = IpNet> {
        let receivers = self.receivers.values().map(|receiver| host_net(receiver.address));
        let routes = self.routes.iter().filter(|_| !self.receivers.is_empty());
        routes.map(|route| route.destination).chain(receivers)
    }
}

impl HandoverFilter {
    /// The filter that a plan needs.
    #[must_use]
    pub fn of(plan: Option<&HandoverPlan>) -> Self {
        let senders = || plan.into_iter().flat_map(|plan| plan.senders.values());
        Self {
            port: crate::constants::HANDOVER_PORT,
            senders: senders().map(|sender| sender.address).collect(),
            sources: senders().flat_map(|sender| &sender.sources).copied().collect(),
        }
    }
}
