//! The owners of networks and addresses.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::ObjectName;
use crate::model::{Family, number_of};

/// Disjoint networks, each with its owner.
#[derive(Clone, Debug)]
pub(super) struct Claims<Owner> {
    /// For each family, first address to last address and owner.
    held: ByFamily<BTreeMap<u128, (u128, Owner)>>,
}

/// One value for each family.
#[derive(Clone, Debug, Default)]
struct ByFamily<T> {
    v4: T,
    v6: T,
}

impl<Owner> Default for Claims<Owner> {
    fn default() -> Self {
        Self { held: ByFamily::default() }
    }
}

impl<Owner> Claims<Owner> {
    /// Gives the network to the owner, or returns the owner of a network that overlaps it.
    pub(super) fn claim(&mut self, net: IpNet, owner: Owner) -> Result<(), &Owner> {
        // Looked up twice: a borrow that one path returns would last beyond the insertion.
        if self.overlap(&net).is_some() {
            return self.overlap(&net).map_or(Ok(()), Err);
        }
        let (first, last) = bounds(&net);
        self.held.of_mut(Family::of_net(&net)).insert(first, (last, owner));
        Ok(())
    }

    /// The owner of a network that overlaps this one; of several, the one with the highest address.
    pub(super) fn overlap(&self, net: &IpNet) -> Option<&Owner> {
        let (first, last) = bounds(net);
        let (_, (held_last, owner)) = self.held.of(Family::of_net(net)).range(..=last).next_back()?;
        (*held_last >= first).then_some(owner)
    }
}

impl<T> ByFamily<T> {
    const fn of(&self, family: Family) -> &T {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    const fn of_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// Single addresses, each with its owner.
#[derive(Default)]
pub(super) struct AddressClaims {
    held: ByFamily<BTreeMap<u128, ObjectName>>,
}

impl AddressClaims {
    /// Gives the address to the owner, or returns the owner that has it.
    pub(super) fn claim(&mut self, address: IpAddr, owner: &ObjectName) -> Result<(), &ObjectName> {
        match self.held.of_mut(Family::of(&address)).entry(number_of(address)) {
            Entry::Occupied(held) => Err(held.into_mut()),
            Entry::Vacant(free) => {
                free.insert(owner.clone());
                Ok(())
            }
        }
    }

    /// The owner of the address of a /32 or /128 network; `None` for other networks.
    pub(super) fn owner_of(&self, net: &IpNet) -> Option<&ObjectName> {
        let held = self.held.of(Family::of_net(net));
        held.get(&number_of(net.addr())).filter(|_| net.prefix_len() == net.max_prefix_len())
    }

    /// The owner of an address in this network; of several, the one with the highest address.
    pub(super) fn inside(&self, net: &IpNet) -> Option<&ObjectName> {
        let (first, last) = bounds(net);
        self.held.of(Family::of_net(net)).range(first..=last).next_back().map(|(_, owner)| owner)
    }
}

/// The first and the last address.
fn bounds(net: &IpNet) -> (u128, u128) {
    (number_of(net.network()), number_of(net.broadcast()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_claims_name_the_owner() {
        let mut claims = Claims::default();
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        claims.claim(net("10.0.0.0/24"), "a").unwrap();
        claims.claim(net("10.0.1.0/24"), "b").unwrap();
        claims.claim(net("fd00::/64"), "c").unwrap();
        assert_eq!(claims.claim(net("10.0.0.0/25"), "d"), Err(&"a"));
        assert_eq!(claims.claim(net("10.0.1.7/32"), "d"), Err(&"b"));
        assert_eq!(claims.claim(net("10.0.0.0/8"), "d"), Err(&"b"));
        assert_eq!(claims.overlap(&net("fd00::1/128")), Some(&"c"));
        assert_eq!(claims.overlap(&net("fd01::/64")), None);
        assert_eq!(claims.overlap(&net("10.0.2.0/24")), None);
    }
}
