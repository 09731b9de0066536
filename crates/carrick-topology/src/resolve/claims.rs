//! The owners of networks and addresses.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Family, address_of, number_of};

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

/// Disjoint networks, each with its owner, all of which are claimed at once. That takes one sort, and a lookup among them costs less than
/// among [`Claims`].
pub(super) struct SettledClaims<Owner> {
    /// For each family, first address, last address and owner, sorted.
    held: ByFamily<Vec<(u128, u128, Owner)>>,
}

/// A claim that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused<Owner> {
    pub(super) by: Owner,
    /// The owner of a network that overlaps the claimed one; of several, the one with the highest address.
    pub(super) held_by: Owner,
}

impl<Owner: Copy> SettledClaims<Owner> {
    /// Gives the networks to their owners, where claims overlap to the first one of them. Returns the others too.
    pub(super) fn of(claims: impl IntoIterator<Item = (IpNet, Owner)>) -> (Self, Vec<Refused<Owner>>) {
        let mut claimed = ByFamily::<Vec<Claim<Owner>>>::default();
        for (position, (net, owner)) in claims.into_iter().enumerate() {
            let (first, last) = bounds(&net);
            claimed.of_mut(Family::of_net(&net)).push(Claim { first, last, position, net, owner });
        }
        let mut refused = Vec::new();
        let ByFamily { v4, v6 } = claimed;
        let held = ByFamily { v4: settle(v4, &mut refused), v6: settle(v6, &mut refused) };
        (Self { held }, refused)
    }

    /// The owner of a network that overlaps this one; of several, the one with the highest address.
    pub(super) fn overlap(&self, net: &IpNet) -> Option<&Owner> {
        let (first, last) = bounds(net);
        let held = self.held.of(Family::of_net(net));
        let behind = held.partition_point(|(held_first, ..)| *held_first <= last);
        let (_, held_last, owner) = held.get(behind.checked_sub(1)?)?;
        (*held_last >= first).then_some(owner)
    }

    /// The owners, sorted by their networks.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.held.v4.iter().chain(&self.held.v6).map(|(.., owner)| owner)
    }
}

/// A claim that is not settled.
struct Claim<Owner> {
    first: u128,
    last: u128,
    /// The claim of the lower position counts.
    position: usize,
    net: IpNet,
    owner: Owner,
}

/// Settles the claims of one family: first address, last address and owner of what they hold, sorted.
fn settle<Owner: Copy>(mut claims: Vec<Claim<Owner>>, refused: &mut Vec<Refused<Owner>>) -> Vec<(u128, u128, Owner)> {
    claims.sort_unstable_by_key(|claim| claim.first);
    let mut settled = Vec::with_capacity(claims.len());
    let mut rest = &mut claims[..];
    while let Some(first) = rest.first() {
        // A group is a chain of overlapping claims: its claims overlap no other ones.
        let mut last = first.last;
        let joins_group = |claim: &&Claim<Owner>| {
            let overlaps = claim.first <= last;
            if overlaps {
                last = last.max(claim.last);
            }
            overlaps
        };
        let size = rest.iter().take_while(joins_group).count();
        let (group, behind) = rest.split_at_mut(size);
        rest = behind;
        if let [claim] = group {
            settled.push((claim.first, claim.last, claim.owner));
            continue;
        }
        group.sort_unstable_by_key(|claim| claim.position);
        let mut held = Claims::default();
        for claim in group {
            if let Err(held_by) = held.claim(claim.net, claim.owner) {
                refused.push(Refused { by: claim.owner, held_by: *held_by });
            }
        }
        let ByFamily { v4, v6 } = held.held;
        settled.extend(v4.into_iter().chain(v6).map(|(first, (last, owner))| (first, last, owner)));
    }
    settled
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
pub(super) struct AddressClaims<Owner> {
    held: ByFamily<BTreeMap<u128, Owner>>,
    contested: BTreeSet<IpAddr>,
}

impl<Owner> Default for AddressClaims<Owner> {
    fn default() -> Self {
        Self { held: ByFamily::default(), contested: BTreeSet::new() }
    }
}

impl<Owner: Copy + PartialEq> AddressClaims<Owner> {
    /// Gives the address to the owner, or returns the owner that has it.
    pub(super) fn claim(&mut self, address: IpAddr, owner: Owner) -> Result<(), Owner> {
        match self.held.of_mut(Family::of(&address)).entry(number_of(address)) {
            Entry::Occupied(held) => {
                if *held.get() != owner {
                    self.contested.insert(address);
                }
                Err(*held.get())
            }
            Entry::Vacant(free) => {
                free.insert(owner);
                Ok(())
            }
        }
    }

    /// Makes the address free.
    pub(super) fn release(&mut self, address: IpAddr) {
        self.held.of_mut(Family::of(&address)).remove(&number_of(address));
    }

    /// All addresses, sorted.
    pub(super) fn all(&self) -> impl Iterator<Item = (IpAddr, Owner)> {
        Family::BOTH.into_iter().flat_map(|family| {
            self.held.of(family).iter().map(move |(number, owner)| (address_of(family, *number), *owner))
        })
    }

    /// The addresses that several objects claim.
    pub(super) fn contested(&self) -> BTreeSet<IpAddr> {
        self.contested.clone()
    }

    /// The owner of the address of a /32 or /128 network; `None` for other networks.
    pub(super) fn owner_of(&self, net: &IpNet) -> Option<Owner> {
        let held = self.held.of(Family::of_net(net));
        held.get(&number_of(net.addr())).filter(|_| net.prefix_len() == net.max_prefix_len()).copied()
    }

    /// The owner of an address in this network; of several, the one with the highest address.
    pub(super) fn inside(&self, net: &IpNet) -> Option<Owner> {
        let (first, last) = bounds(net);
        self.held.of(Family::of_net(net)).range(first..=last).next_back().map(|(_, owner)| *owner)
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
        let looked_up = [
            ("fd00::1/128", Some(&"c")),
            ("fd01::/64", None),
            ("10.0.2.0/24", None),
            ("9.0.0.0/8", None),
            ("10.0.0.0/16", Some(&"b")),
        ];
        for (text, owner) in looked_up {
            assert_eq!(claims.overlap(&net(text)), owner, "{text}");
        }
    }

    #[test]
    fn claims_that_are_settled_at_once_are_held_as_if_they_came_one_after_the_other() {
        let nets = ["10.0.1.0/24", "fd00::/64", "10.0.0.0/16", "10.0.0.0/24", "10.0.3.0/25", "10.0.0.0/8", "9.0.0.0/8"];
        let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
        for rotation in 0..nets.len() {
            let order = || nets.iter().cycle().skip(rotation).take(nets.len()).copied();
            let mut claims = Claims::default();
            let one_by_one = order()
                .filter_map(|net| claims.claim(net, net).err().copied().map(|held_by| Refused { by: net, held_by }));
            let mut one_by_one: Vec<Refused<IpNet>> = one_by_one.collect();
            let (settled, mut refused) = SettledClaims::of(order().map(|net| (net, net)));
            one_by_one.sort_by_key(|refused| refused.by);
            refused.sort_by_key(|refused| refused.by);
            assert_eq!(refused, one_by_one, "{rotation}");
            assert!(settled.owners().is_sorted());
            for net in &nets {
                assert_eq!(settled.overlap(net), claims.overlap(net), "{net}");
            }
            assert_eq!(settled.overlap(&"11.0.0.0/24".parse().unwrap()), None);
        }
    }
}
