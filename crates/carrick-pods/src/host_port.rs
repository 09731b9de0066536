//! Ports of the host that lead to pods.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use carrick_netlink::Family;
use serde::{Deserialize, Serialize};

/// A port of the host and the pod's port behind it, in one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostPort {
    /// The transport protocol.
    pub transport: Transport,
    /// The address of the host; the unspecified one of the family stands for all.
    pub host: IpAddr,
    /// The port of the host.
    pub host_port: u16,
    /// The port of the pod.
    pub pod_port: u16,
}

/// A protocol with ports.
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
    /// The address that stands for all of the host's.
    #[must_use]
    pub fn any_host(family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// What only one pod can have.
    #[must_use]
    pub fn key(&self) -> (Transport, IpAddr, u16) {
        (self.transport, self.host, self.host_port)
    }

    /// The family of both addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        self.host.into()
    }

    /// The file name under which the port is claimed.
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
    /// The protocol of this name, in whatever case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|transport| transport.name().eq_ignore_ascii_case(name))
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// `IPPROTO_*`.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}
