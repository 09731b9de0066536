//! What several pairs of nodes have in common.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::NodeName;

/// From one node to another.
pub(super) type Pair<'a> = (&'a NodeName, &'a NodeName);

/// Explains pairs that are not well by as few nodes as will do: the node that most have in common, with its counterparts, then the
/// next. Of several, the one that is at the end of fewest pairs that are well, then one that others lead to, then the first by name.
pub(super) fn by_common_end<'a>(
    mut unwell: BTreeSet<Pair<'a>>,
    well: &BTreeSet<Pair<'a>>,
) -> Vec<(&'a NodeName, BTreeSet<&'a NodeName>)> {
    let mut explained = Vec::new();
    while let Some(node) = commonest(&unwell, well) {
        let counterpart = |(from, to): &Pair<'a>| match (*from == node, *to == node) {
            (true, _) => Some(*to),
            (_, true) => Some(*from),
            (false, false) => None,
        };
        explained.push((node, unwell.iter().filter_map(counterpart).collect()));
        unwell.retain(|pair| counterpart(pair).is_none());
    }
    explained
}

fn commonest<'a>(unwell: &BTreeSet<Pair<'a>>, well: &BTreeSet<Pair<'a>>) -> Option<&'a NodeName> {
    let counts = count(unwell);
    let others = count(well);
    let is_end = |node: &NodeName| unwell.iter().any(|(_, to)| *to == node);
    let rank = |(node, unwell): &(&'a NodeName, usize)| {
        (Reverse(*unwell), others.get(node).copied().unwrap_or_default(), !is_end(node), *node)
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
    fn the_commonest_end_comes_first_and_takes_its_pairs_along() {
        let [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(|name| name.parse::<NodeName>().unwrap());
        let unwell = [(&a, &c), (&c, &a), (&b, &c), (&d, &e)].into();
        let explained = by_common_end(unwell, &BTreeSet::new());
        assert_eq!(explained, [(&c, [&a, &b].into()), (&e, [&d].into())]);
        let explained = by_common_end([(&d, &e)].into(), &[(&a, &e)].into());
        assert_eq!(explained, [(&d, [&e].into())]);
    }
}
