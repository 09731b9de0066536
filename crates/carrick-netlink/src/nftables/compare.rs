//! What distinguishes the table that is wanted from the one that is there.

use std::collections::BTreeMap;

use super::set::Elements;
use super::table::Table;

/// What distinguishes two tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Nothing.
    None,
    /// Elements of these sets; chains, rules and the form of the sets are the same.
    Elements(BTreeMap<String, ElementChange>),
    /// More than elements.
    Structure,
}

/// How one set's elements differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElementChange {
    /// There, but not wanted.
    pub removed: Elements,
    /// Wanted, but not there.
    pub added: Elements,
}

impl Table {
    /// What must change to turn the table that is there into this one.
    ///
    /// Counts, handles and whatever else the kernel adds by itself do not matter, neither does the way in
    /// which networks were cut into elements.
    #[must_use]
    pub fn difference_from(&self, present: Option<&Table>) -> Difference {
        let Some(present) = present else {
            return Difference::Structure;
        };
        if !self.has_structure_of(present) {
            return Difference::Structure;
        }
        let changes: BTreeMap<String, ElementChange> = self
            .sets
            .iter()
            .filter_map(|(name, wanted)| Some((name, wanted, present.sets.get(name)?)))
            .filter(|(_, wanted, there)| wanted.elements != there.elements)
            .map(|(name, wanted, there)| {
                let change = ElementChange {
                    removed: there.elements.without(&wanted.elements),
                    added: wanted.elements.without(&there.elements),
                };
                (name.clone(), change)
            })
            .collect();
        if changes.is_empty() { Difference::None } else { Difference::Elements(changes) }
    }

    /// Whether what is there is exactly this.
    #[must_use]
    pub fn matches(&self, present: Option<&Table>) -> bool {
        self.difference_from(present) == Difference::None
    }

    fn has_structure_of(&self, other: &Table) -> bool {
        let same_sets = self.sets.len() == other.sets.len()
            && self.sets.iter().all(|(name, set)| other.sets.get(name).is_some_and(|present| set.is_like(present)));
        same_sets
            && self.family == other.family
            && self.name == other.name
            && self.flags == other.flags
            && self.chains == other.chains
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nftables::{Chain, Rule, Set, TableFamily};

    fn table(networks: &[&str]) -> Table {
        let networks = networks.iter().map(|network| network.parse().unwrap());
        Table::new(TableFamily::Inet, "t")
            .with_set("networks", Set::ipv4_networks(networks))
            .with_chain("c", Chain::regular().with_rules([Rule::new().accept()]))
    }

    #[test]
    fn networks_cut_differently_are_the_same() {
        let halves = table(&["10.0.0.0/25", "10.0.0.128/25"]);
        assert!(halves.matches(Some(&table(&["10.0.0.0/24"]))));
    }

    #[test]
    fn other_elements_are_told_one_by_one() {
        let wanted = table(&["10.0.0.0/24", "10.2.0.0/24"]);
        let present = table(&["10.0.0.0/24", "10.4.0.0/24"]);
        let Difference::Elements(changes) = wanted.difference_from(Some(&present)) else {
            panic!("only elements differ");
        };
        assert_eq!(changes["networks"].added, table(&["10.2.0.0/24"]).sets["networks"].elements);
        assert_eq!(changes["networks"].removed, table(&["10.4.0.0/24"]).sets["networks"].elements);
    }

    #[test]
    fn more_than_elements_is_structure() {
        let wanted = table(&[]);
        let mut present = table(&[]);
        present.chains.insert("another".to_owned(), Chain::regular());
        assert_eq!(wanted.difference_from(Some(&present)), Difference::Structure);
        let mut dormant = table(&[]);
        dormant.flags = 1;
        assert_eq!(wanted.difference_from(Some(&dormant)), Difference::Structure);
        assert_eq!(wanted.difference_from(None), Difference::Structure);
    }
}
