//! Which addresses are public.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrick_types::Family;
use ipnet::IpNet;

/// An address as a number. Numbers of one family are ordered as the addresses are, and compared faster than addresses of two families.
pub(crate) const fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address of this family with this number.
pub(crate) const fn address_of(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

/// The network that holds this one address: /32 or /128.
#[must_use]
pub fn host_net(address: IpAddr) -> IpNet {
    IpNet::from(address)
}

/// Whether the address is link-local (RFC 3927, RFC 4291): no router forwards packets to it.
pub(crate) fn is_link_local(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Whether packets to this address can cross the internet.
///
/// Not public: private (RFC 1918), shared (RFC 6598, carrier-grade NAT), link-local, loopback,
/// multicast, unspecified and reserved ranges, unique local addresses (RFC 4193).
/// The documentation ranges count as public: test networks use them.
#[must_use]
pub fn is_public(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(*address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

const fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared = first == 100 && second & 0b1100_0000 == 64;
    let reserved = first == 0 || first >= 240;
    !(shared
        || reserved
        || address.is_private()
        || address.is_link_local()
        || address.is_loopback()
        || address.is_multicast())
}

fn is_public_v6(address: &Ipv6Addr) -> bool {
    match address.to_ipv4_mapped() {
        Some(mapped) => is_public_v4(mapped),
        None => {
            !(address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_shared_and_local_ranges_are_not_public() {
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.1.1",
            "127.0.0.1",
            "224.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!is_public(&address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn all_other_addresses_are_public() {
        for address in
            ["1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1", "198.51.100.7", "2001:db8::1", "2a00::1"]
        {
            assert!(is_public(&address.parse().unwrap()), "{address}");
        }
    }
}
