//! The flag `--listen`: the TCP addresses on which the agent serves the pages for probes and monitoring.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use carrick_topology::model::is_public;

/// The TCP port of the agent's pages, where the setting does not name one.
pub const PAGES_PORT: u16 = 1107;

/// One place at which the agent listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// The loopback address of the node, for the kubelet's probes.
    Loopback,
    /// The node's internal address (`InternalIP` of its Node), unless this address is public.
    Internal,
    /// This address, which the setting spells out. It may be public.
    Address(SocketAddr),
}

/// A text that is not a place to listen at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidListen {
    /// The text has another form.
    #[error("expected `loopback`, `internal`, or an address and a port such as 192.0.2.1:1107 or [2001:db8::1]:1107")]
    Form,
    /// The address stands for all addresses of the node.
    #[error("{0} includes the public addresses of the node: spell out each address, or use `loopback` or `internal`")]
    Unspecified(SocketAddr),
    /// The address is that of no host.
    #[error("{0} is a multicast or broadcast address: name an address of the node, or use `loopback` or `internal`")]
    ManyHosts(SocketAddr),
}

impl Listen {
    /// The address of [`Listen::Loopback`].
    pub const LOOPBACK_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), PAGES_PORT);

    /// The address of [`Listen::Internal`] on a node with these internal addresses: the first one that is not public.
    #[must_use]
    pub fn internal_address(internal_addresses: &[IpAddr]) -> Option<SocketAddr> {
        let address = internal_addresses.iter().find(|address| !is_public(address))?;
        Some(SocketAddr::new(*address, PAGES_PORT))
    }
}

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "loopback" => Ok(Self::Loopback),
            "internal" => Ok(Self::Internal),
            _ => match text.parse::<SocketAddr>() {
                Ok(address) if address.ip().to_canonical().is_unspecified() => Err(InvalidListen::Unspecified(address)),
                Ok(address) if is_of_many_hosts(address.ip().to_canonical()) => Err(InvalidListen::ManyHosts(address)),
                Ok(address) => Ok(Self::Address(address)),
                Err(_) => Err(InvalidListen::Form),
            },
        }
    }
}

fn is_of_many_hosts(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_is_served_only_when_it_is_spelled_out() {
        assert_eq!("internal".parse(), Ok(Listen::Internal));
        assert_eq!("203.0.113.7:1107".parse(), Ok(Listen::Address("203.0.113.7:1107".parse().unwrap())));
        for text in ["0.0.0.0:1107", "[::]:1107", "[::ffff:0.0.0.0]:1107"] {
            assert_eq!(text.parse::<Listen>(), Err(InvalidListen::Unspecified(text.parse().unwrap())), "{text}");
        }
        for text in ["224.0.0.1:1107", "255.255.255.255:1107", "[ff02::1]:1107", "[::ffff:239.1.2.3]:1107"] {
            assert_eq!(text.parse::<Listen>(), Err(InvalidListen::ManyHosts(text.parse().unwrap())), "{text}");
        }
        for text in ["", "public", "192.0.2.1", "node", "1107"] {
            assert_eq!(text.parse::<Listen>(), Err(InvalidListen::Form), "{text}");
        }
    }

    #[test]
    fn the_internal_address_is_never_a_public_one() {
        let of = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            Listen::internal_address(&addresses).map(|address| address.to_string())
        };
        assert_eq!(of(&["10.0.0.1", "fd00::1"]).as_deref(), Some("10.0.0.1:1107"));
        assert_eq!(of(&["203.0.113.7", "fd00::1"]).as_deref(), Some("[fd00::1]:1107"));
        assert_eq!(of(&["100.64.0.1"]).as_deref(), Some("100.64.0.1:1107"));
        assert_eq!(of(&["203.0.113.7", "2001:db8::1"]), None);
        assert_eq!(of(&[]), None);
    }
}
