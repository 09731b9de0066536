//! Host ports: ports of the host whose packets go to a pod.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use carrick_netlink::Family;
use carrick_topology::constants::WIREGUARD_PORT;
use carrick_topology::plan::MeshPorts;
use serde::{Deserialize, Serialize};

/// A host port and the port of the pod that it maps to, in one address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPort {
    /// The transport protocol.
    pub transport: Transport,
    /// The address of the host. The unspecified address of the family means all addresses of the host.
    pub host: IpAddr,
    /// The port on the host.
    pub host_port: u16,
    /// The port in the pod.
    pub pod_port: u16,
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl HostPort {
    /// The address that means all addresses of the host.
    #[must_use]
    pub fn any_host(family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// What identifies the host port. Only one pod can have it.
    #[must_use]
    pub fn key(&self) -> (Transport, IpAddr, u16) {
        (self.transport, self.host, self.host_port)
    }

    /// Whether the port belongs to the mesh, whose packets would go to the pod. `wireguard` is the port of the node's WireGuard device, if it is
    /// known.
    #[must_use]
    pub fn belongs_to_mesh(&self, wireguard: Option<u16>) -> bool {
        self.transport == Transport::Udp && MeshPorts::of(wireguard.unwrap_or(WIREGUARD_PORT)).contains(&self.host_port)
    }

    /// The address family of the host's address and of the pod's.
    #[must_use]
    pub fn family(&self) -> Family {
        self.host.into()
    }

    /// The file name of the claim to this port.
    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}-{}", self.transport.name(), self.host, self.host_port)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.transport.name(), SocketAddr::new(self.host, self.host_port))
    }
}

impl Transport {
    /// The protocol with this name, in upper or lower case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|transport| transport.name().eq_ignore_ascii_case(name))
    }

    /// The name in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// The IP protocol number (`IPPROTO_*`).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}
