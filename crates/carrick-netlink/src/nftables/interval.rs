//! Ranges of addresses in the one form in which two sets of networks can be compared.

use std::collections::BTreeSet;

use ipnet::{Ipv4Net, Ipv6Net};

/// Disjoint ranges with gaps between them, whatever overlapping or adjacent networks they came from.
///
/// Addresses are held as numbers; both ends belong to a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Intervals {
    ranges: BTreeSet<(u128, u128)>,
}

impl Intervals {
    /// The ranges that IPv4 networks cover.
    #[must_use]
    pub fn of_ipv4(networks: impl IntoIterator<Item = Ipv4Net>) -> Self {
        Self::merged(networks.into_iter().map(|network| {
            let number = |address| u128::from(u32::from(address));
            (number(network.network()), number(network.broadcast()))
        }))
    }

    /// The ranges that IPv6 networks cover.
    #[must_use]
    pub fn of_ipv6(networks: impl IntoIterator<Item = Ipv6Net>) -> Self {
        Self::merged(
            networks.into_iter().map(|network| (u128::from(network.network()), u128::from(network.broadcast()))),
        )
    }

    /// Joins ranges that overlap or touch.
    #[must_use]
    pub fn merged(ranges: impl IntoIterator<Item = (u128, u128)>) -> Self {
        let sorted: BTreeSet<(u128, u128)> = ranges.into_iter().collect();
        let mut merged = BTreeSet::new();
        let mut open: Option<(u128, u128)> = None;
        for (first, last) in sorted {
            open = match open {
                Some((begin, end)) if first <= end.saturating_add(1) => Some((begin, end.max(last))),
                other => {
                    merged.extend(other);
                    Some((first, last))
                }
            };
        }
        merged.extend(open);
        Self { ranges: merged }
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u128)> {
        self.ranges.iter().copied()
    }

    /// The number of ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The ranges of this that the other does not hold in exactly this form.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self { ranges: self.ranges.difference(&other.ranges).copied().collect() }
    }

    /// Rebuilds ranges from the kernel's elements: the key of each, and whether it ends a range or begins one.
    /// A range that nothing ends reaches to `max`; bounds beyond that are ignored.
    pub(super) fn from_bounds(bounds: impl IntoIterator<Item = (u128, Bound)>, max: u128) -> Self {
        let sorted: BTreeSet<(u128, Bound)> = bounds.into_iter().filter(|(key, _)| *key <= max).collect();
        let mut ranges = BTreeSet::new();
        let mut begin = None;
        for (key, bound) in sorted {
            match bound {
                Bound::End => {
                    if let Some(first) = begin.take() {
                        ranges.insert((first, key.saturating_sub(1)));
                    }
                }
                Bound::Begin => {
                    if let Some(first) = begin.replace(key) {
                        ranges.insert((first, key.saturating_sub(1)));
                    }
                }
            }
        }
        if let Some(first) = begin {
            ranges.insert((first, max));
        }
        Self::merged(ranges)
    }
}

/// Which side of a range an element of the kernel stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bound {
    /// The first address behind a range.
    End,
    /// The first address of a range.
    Begin,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(networks: &[&str]) -> Intervals {
        Intervals::of_ipv4(networks.iter().map(|network| network.parse().unwrap()))
    }

    #[test]
    fn joins_overlapping_and_adjacent_networks() {
        let joined = ipv4(&["10.1.0.0/24", "10.1.1.0/24", "10.1.0.0/25", "10.3.0.0/16"]);
        assert_eq!(joined, ipv4(&["10.1.0.0/23", "10.3.0.0/16"]));
        assert_eq!(joined.len(), 2);
    }

    #[test]
    fn the_whole_space_is_one_range() {
        assert_eq!(ipv4(&["128.0.0.0/1", "0.0.0.0/1"]).iter().collect::<Vec<_>>(), [(0, u128::from(u32::MAX))]);
        let all = Intervals::of_ipv6(["::/0".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        assert_eq!(all.iter().collect::<Vec<_>>(), [(0, u128::MAX)]);
    }

    #[test]
    fn host_bits_do_not_count() {
        assert_eq!(ipv4(&["10.1.2.3/16"]), ipv4(&["10.1.0.0/16"]));
    }

    #[test]
    fn bounds_beyond_the_space_are_ignored() {
        let bounds = [(7, Bound::Begin), (9, Bound::End), (300, Bound::Begin)];
        assert_eq!(Intervals::from_bounds(bounds, 255), Intervals::merged([(7, 8)]));
    }

    #[test]
    fn bounds_of_the_kernel_become_the_same_ranges() {
        let max = u128::from(u32::MAX);
        let bounds = [
            (9, Bound::End),
            (0, Bound::End),
            (5, Bound::Begin),
            (9, Bound::Begin),
            (12, Bound::End),
            (max, Bound::Begin),
        ];
        assert_eq!(Intervals::from_bounds(bounds, max), Intervals::merged([(5, 11), (max, max)]));
    }
}
