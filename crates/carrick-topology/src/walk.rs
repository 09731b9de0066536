//! Follows one packet through the plans of all nodes, hop by hop, as their kernels would.
//!
//! A walk includes longest prefix match in Carrick's table and then in the host's other routes, cryptokey routing at both ends of a tunnel,
//! the leak guard and the source address rules of the nftables table, and the smallest MTU on the path. The property tests of this crate
//! and `carrickctl trace` use the same code.
//!
//! # Examples
//!
//! ```
//! use carrick_topology::plan::plan_all;
//! use carrick_topology::walk::{Link, Network, Origin, Outcome, Packet};
//! use carrick_topology::{Cluster, Liveness, Node, PublicKey, Settings};
//!
//! // One node in Basel and one in Paris, both with a public endpoint.
//! let mut cluster = Cluster::default();
//! for (number, name, location) in [(1, "b1", "basel"), (2, "p1", "paris")] {
//!     let mut node = Node::new(name.parse()?, i64::from(number));
//!     node.location = Some(location.parse()?);
//!     node.public_key = Some(PublicKey::from_bytes([number; 32]));
//!     node.pod_cidrs = [format!("10.42.{number}.0/24").parse()?].into();
//!     node.mesh_addresses = [format!("10.4.0.{number}").parse()?].into();
//!     node.endpoint = Some(format!("198.51.100.{number}:51820").parse()?);
//!     cluster.insert_node(node);
//! }
//!
//! let (settings, liveness) = (Settings::default(), Liveness::default());
//! let plans = plan_all(&cluster, &settings, &liveness);
//! let network = Network::new(&cluster, &settings, &liveness, &plans);
//!
//! let packet = Packet { source: Some("10.42.1.10".parse()?), destination: "10.42.2.10".parse()? };
//! let walk = network.walk(&Origin::Pod("b1".parse()?), packet);
//! assert_eq!(walk.outcome, Outcome::Pod("p1".parse()?));
//! assert_eq!(walk.hops.iter().map(|hop| &hop.link).collect::<Vec<_>>(), [&Link::WireGuard]);
//!
//! // Only the pod CIDR of `p1` is routed there.
//! let packet = Packet { destination: "10.42.3.10".parse()?, ..packet };
//! assert_eq!(network.walk(&Origin::Pod("b1".parse()?), packet).outcome, Outcome::Uplink("b1".parse()?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod host;
mod network;
mod step;

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

/// The addresses of a packet. The source is `None` if the host chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The source address.
    pub source: Option<IpAddr>,
    /// The destination address.
    pub destination: IpAddr,
}

/// How a packet goes from one node to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Through a WireGuard tunnel.
    WireGuard,
    /// In VXLAN, inside the location.
    Vxlan,
    /// In VXLAN, through a WireGuard tunnel, during a handover.
    Encapsulated,
    /// Without encapsulation, inside the location.
    Plain(Option<DeviceName>),
}

/// One hop: from this node by this link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// The node that sends.
    pub from: NodeName,
    /// The link.
    pub link: Link,
}

/// Why a packet is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// An `unreachable` route.
    UnreachableRoute,
    /// The leak guard.
    LeakGuard,
    /// No WireGuard peer of the sender has the destination among its allowed IPs.
    NoPeer,
    /// Neither end of the tunnel can dial the other.
    NoEndpoint,
    /// The receiver has no peer for the sender, or not with this source address.
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
    /// In a network of the location, which it enters from this node.
    LocationNetwork(NodeName),
    /// On the node's uplink, outside the mesh.
    Uplink(NodeName),
    /// It is dropped at this node.
    Dropped(NodeName, DropReason),
}

/// The walk of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Walk {
    /// The hops, in order.
    pub hops: Vec<Hop>,
    /// Where it ends.
    pub outcome: Outcome,
    /// The source address that the receiver sees.
    pub source: Option<IpAddr>,
    /// The smallest MTU on the path, in bytes.
    pub mtu: u32,
    /// The translations of its source address, in order.
    pub translations: Vec<Translation>,
}

/// A source address that a node replaces. The node restores it in the answer.
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

/// An address inside a pod CIDR, for an example pod.
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
