//! Follows one packet through the plans of all nodes, hop by hop, as their kernels would.
//!
//! Longest prefix match in Carrick's table, then the rest of the host's routing; cryptokey routing at both ends of a
//! tunnel; the clear-text guard and the source address rules of the nftables table; the smallest MTU on the way.
//! The property tests of this crate and `carrickctl trace` ask the same code.

mod host;
mod network;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

pub use network::Network;

use crate::model::{DeviceName, NodeName, PeerName};

/// Where a packet comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A pod on this node.
    Pod(NodeName),
    /// The host itself.
    Host(NodeName),
    /// An outside peer.
    Outside(PeerName),
}

/// A packet's addresses. A source that the host has yet to choose is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// From.
    pub source: Option<IpAddr>,
    /// To.
    pub destination: IpAddr,
}

/// How a packet goes from one node to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Through a WireGuard tunnel.
    WireGuard,
    /// Encapsulated, inside the location.
    Vxlan,
    /// Encapsulated, through a WireGuard tunnel.
    Encapsulated,
    /// Plainly, inside the location.
    Plain(Option<DeviceName>),
}

/// One hop: from this node by this link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// The node that sends.
    pub from: NodeName,
    /// How.
    pub link: Link,
}

/// Why a packet ends on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// An `unreachable` route.
    UnreachableRoute,
    /// The clear-text guard.
    Guard,
    /// No WireGuard peer of the sender has the destination among its allowed IPs.
    NoPeer,
    /// Neither end of the tunnel can dial the other.
    NoEndpoint,
    /// The receiver does not know the sender, or not with this source address.
    SourceNotAllowed,
    /// The VXLAN device has no such neighbour, or the receiver does not accept the sender.
    NoNeighbour,
    /// No source address of the family.
    NoSource,
    /// More than 16 hops.
    Loop,
}

/// Where a packet ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// At a pod of this node.
    Pod(NodeName),
    /// At the host.
    Host(NodeName),
    /// At an outside peer.
    Outside(PeerName),
    /// In a network of the location, which it entered at this node.
    LocationNetwork(NodeName),
    /// On the node's uplink, outside the mesh.
    Uplink(NodeName),
    /// Nowhere.
    Dropped(NodeName, DropReason),
}

/// A packet's way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// The hops, in order.
    pub hops: Vec<Hop>,
    /// Where it ends.
    pub outcome: Outcome,
    /// The source address that the receiver sees.
    pub source: Option<IpAddr>,
    /// The smallest MTU on the way, in bytes.
    pub mtu: u32,
    /// Where its source was translated: the node, and the addresses before and after.
    pub translations: Vec<Translation>,
}

/// A source address that a node replaced, and will restore in the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Translation {
    /// The node.
    pub node: NodeName,
    /// The source before.
    pub before: IpAddr,
    /// The source after.
    pub after: IpAddr,
}

impl Walk {
    /// The nodes that the packet passes, the first one included.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.hops.iter().map(|hop| &hop.from)
    }

    /// Whether the packet arrives at a pod, a host, an outside peer or a network of a location.
    #[must_use]
    pub const fn arrives(&self) -> bool {
        matches!(self.outcome, Outcome::Pod(_) | Outcome::Host(_) | Outcome::Outside(_) | Outcome::LocationNetwork(_))
    }
}

/// An address inside a pod CIDR, for a pod that stands for all.
#[must_use]
pub fn sample_address(cidr: &IpNet) -> IpAddr {
    match cidr {
        IpNet::V4(net) => {
            let host = 10 & net.hostmask().to_bits();
            IpAddr::V4(std::net::Ipv4Addr::from_bits(net.network().to_bits() | host))
        }
        IpNet::V6(net) => {
            let host = 10 & net.hostmask().to_bits();
            IpAddr::V6(std::net::Ipv6Addr::from_bits(net.network().to_bits() | host))
        }
    }
}
