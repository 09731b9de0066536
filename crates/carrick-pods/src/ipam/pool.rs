//! The addresses that a node can assign to its pods, in order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrick_netlink::Family;
use ipnet::IpNet;

/// The addresses of one family, in all ranges of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    family: Family,
    ranges: Vec<Range>,
}

/// The first and the last usable address, as 128-bit numbers for both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u128,
    last: u128,
}

/// Why the node's pod CIDRs have no usable addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The node has no pod CIDR.
    #[error("the node has no pod CIDR")]
    NoCidr,
    /// A range has no address except its network, gateway and broadcast address.
    #[error("the pod CIDR {0} has no address for a pod")]
    TooSmall(IpNet),
}

/// One pool for each family that occurs, IPv4 first.
///
/// # Errors
///
/// See [`PoolError`].
pub fn pools(cidrs: &[IpNet]) -> Result<Vec<Pool>, PoolError> {
    let mut pools = Vec::new();
    for family in Family::BOTH {
        let of_family = cidrs.iter().filter(|cidr| Family::from(**cidr) == family);
        let ranges: Vec<Range> = of_family.map(|cidr| Range::usable(*cidr)).collect::<Result<_, _>>()?;
        if !ranges.is_empty() {
            pools.push(Pool { family, ranges });
        }
    }
    if pools.is_empty() { Err(PoolError::NoCidr) } else { Ok(pools) }
}

impl Pool {
    /// The family of the addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// Whether the address is in the pool.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = to_number(address);
        Family::from(address) == self.family
            && self.ranges.iter().any(|range| (range.first..=range.last).contains(&number))
    }

    /// Every address once, starting after `last`, the address that was assigned last. So a released address is assigned again only
    /// after all others. Starts with the first address if `last` is in no range.
    pub fn after(&self, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
        let last = last.filter(|last| Family::from(*last) == self.family).map(to_number);
        let position = last.and_then(|last| {
            let index = self.ranges.iter().position(|range| (range.first..=range.last).contains(&last))?;
            Some((index, last))
        });
        let (index, last) = position.map_or((0, None), |(index, last)| (index, Some(last)));
        let behind = self.ranges.get(index).map(|range| (last.map_or(range.first, |last| last + 1))..=range.last);
        let before = last.zip(self.ranges.get(index)).map(|(last, range)| range.first..=last);
        let others = self.ranges.iter().cycle().skip(index + 1).take(self.ranges.len().saturating_sub(1));
        let family = self.family;
        behind
            .into_iter()
            .chain(others.map(|range| range.first..=range.last))
            .chain(before)
            .flatten()
            .map(move |number| from_number(number, family))
    }
}

impl Range {
    /// The range without the network address, the first host address, which often is the address of a gateway, and the broadcast
    /// address of IPv4.
    fn usable(cidr: IpNet) -> Result<Self, PoolError> {
        let first = to_number(cidr.network()).checked_add(2).ok_or(PoolError::TooSmall(cidr))?;
        let last = match cidr {
            IpNet::V4(cidr) => u128::from(u32::from(cidr.broadcast()).saturating_sub(1)),
            IpNet::V6(cidr) => u128::from(cidr.broadcast()),
        };
        if first > last { Err(PoolError::TooSmall(cidr)) } else { Ok(Self { first, last }) }
    }
}

fn to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn from_number(number: u128, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(number as u32).into(),
        Family::V6 => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidrs(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn order(texts: &[&str], last: Option<&str>) -> Vec<String> {
        let pools = pools(&cidrs(texts)).unwrap();
        pools[0].after(last.map(|last| last.parse().unwrap())).take(20).map(|address| address.to_string()).collect()
    }

    #[test]
    fn network_gateway_and_broadcast_addresses_are_not_assigned() {
        assert_eq!(order(&["10.0.0.0/29"], None), ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        assert_eq!(order(&["10.0.0.0/30"], None), ["10.0.0.2"]);
        assert_eq!(order(&["fd00::/126"], None), ["fd00::2", "fd00::3"]);
    }

    #[test]
    fn the_order_starts_after_the_last_address_and_wraps_around() {
        let around = ["10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3", "10.0.0.4"];
        assert_eq!(order(&["10.0.0.0/29"], Some("10.0.0.4")), around);
        assert_eq!(order(&["10.0.0.0/30"], Some("10.0.0.2")), ["10.0.0.2"]);
    }

    #[test]
    fn the_order_covers_all_ranges() {
        let ranges = ["10.0.0.0/30", "10.0.1.0/29", "10.0.2.0/30"];
        let around = ["10.0.1.4", "10.0.1.5", "10.0.1.6", "10.0.2.2", "10.0.0.2", "10.0.1.2", "10.0.1.3"];
        assert_eq!(order(&ranges, Some("10.0.1.3")), around);
    }

    #[test]
    fn the_order_starts_again_if_the_last_address_is_in_no_range() {
        for last in ["10.9.9.9", "fd00::5", "10.0.0.1"] {
            assert_eq!(order(&["10.0.0.0/30"], Some(last)), ["10.0.0.2"], "{last}");
        }
    }

    #[test]
    fn prefixes_can_have_any_length() {
        assert_eq!(order(&["0.0.0.0/0"], None)[0], "0.0.0.2");
        assert_eq!(order(&["255.255.255.252/30"], None), ["255.255.255.254"]);
        assert_eq!(order(&["fd42::/64"], Some("fd42::ffff"))[0], "fd42::1:0");
        assert_eq!(order(&["::/0"], None)[0], "::2");
        for small in ["10.0.0.0/31", "10.0.0.4/32", "255.255.255.255/32", "fd00::/127", "fd00::1/128"] {
            let cidrs = cidrs(&[small]);
            assert_eq!(pools(&cidrs), Err(PoolError::TooSmall(cidrs[0])), "{small}");
        }
        assert_eq!(pools(&[]), Err(PoolError::NoCidr));
    }

    #[test]
    fn host_bits_do_not_matter() {
        assert_eq!(pools(&cidrs(&["10.0.0.77/24"])), pools(&cidrs(&["10.0.0.0/24"])));
    }

    #[test]
    fn dual_stack_has_two_pools() {
        let families: Vec<Family> =
            pools(&cidrs(&["fd00::/64", "10.0.0.0/24"])).unwrap().iter().map(Pool::family).collect();
        assert_eq!(families, [Family::V4, Family::V6]);
    }
}
