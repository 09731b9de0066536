//! Reduces faults between pairs of nodes to the nodes that they have in common.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::NodeName;

/// A directed pair: from the first node to the second.
pub(super) type Pair<'a> = (&'a NodeName, &'a NodeName);

/// Explains the faulty pairs by few nodes. The first node is the one that most faulty pairs have in common, together with the nodes at the
/// other ends of these pairs; the second one is the same for the remaining pairs, and so on. If several nodes qualify, the function prefers
/// the one with the fewest healthy pairs, then one that is the target of a faulty pair, then the first by name.
pub(super) fn by_common_end<'a>(
    mut faulty: BTreeSet<Pair<'a>>,
    healthy: &BTreeSet<Pair<'a>>,
) -> Vec<(&'a NodeName, BTreeSet<&'a NodeName>)> {
    let mut explained = Vec::new();
    while let Some(node) = most_common(&faulty, healthy) {
        let counterpart = |(from, to): &Pair<'a>| match (*from == node, *to == node) {
            (true, _) => Some(*to),
            (_, true) => Some(*from),
            (false, false) => None,
        };
        explained.push((node, faulty.iter().filter_map(counterpart).collect()));
        faulty.retain(|pair| counterpart(pair).is_none());
    }
    explained
}

fn most_common<'a>(faulty: &BTreeSet<Pair<'a>>, healthy: &BTreeSet<Pair<'a>>) -> Option<&'a NodeName> {
    let counts = count(faulty);
    let others = count(healthy);
    let is_end = |node: &NodeName| faulty.iter().any(|(_, to)| *to == node);
    let rank = |(node, faulty): &(&'a NodeName, usize)| {
        (Reverse(*faulty), others.get(node).copied().unwrap_or_default(), !is_end(node), *node)
    };
    counts.into_iter().min_by_key(rank).map(|(node, _)| node)
}

fn count<'a>(pairs: &BTreeSet<Pair<'a>>) -> BTreeMap<&'a NodeName, usize> {
    let mut counts = BTreeMap::new();
    for node in pairs.iter().flat_map(|(from, to)| [*from, *to]) {
        *counts.entry(node).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_common_node_comes_first_with_all_its_pairs() {
        let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(|name| name.parse::<NodeName>().unwrap());
        let faulty = [(&a, &c), (&c, &a), (&b, &c), (&d, &e)].into();
        let explained = by_common_end(faulty, &BTreeSet::new());
        assert_eq!(explained, [(&c, [&a, &b].into()), (&e, [&d].into())]);
        let explained = by_common_end([(&d, &e)].into(), &[(&a, &e)].into());
        assert_eq!(explained, [(&d, [&e].into())]);
    }
}
