//! Which objects of one kind are known, as fingerprints: enough to tell a change from a heartbeat without a second copy.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The last known state of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    /// Of what was read; `None` where only the outcome is known, from the disk.
    source: Option<u64>,
    /// Of what it was parsed into.
    outcome: u64,
}

/// The objects of one kind. `C` is what is passed on about a changed object.
#[derive(Debug)]
pub(crate) struct Mirror<N, C> {
    known: BTreeMap<N, Fingerprint>,
    listing: Option<Listing<N, C>>,
}

#[derive(Debug)]
struct Listing<N, C> {
    seen: BTreeMap<N, Fingerprint>,
    changes: Vec<C>,
}

/// How to treat objects that a complete list does not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unlisted {
    /// They were deleted.
    Remove,
    /// The list cannot be trusted with that.
    Keep,
}

/// The fingerprint of a value.
pub(crate) fn fingerprint(value: &impl Hash) -> u64 {
    // Its keys are constants: equal values have equal fingerprints, in every run.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl<N: Ord + Clone, C> Mirror<N, C> {
    /// Knows these objects by the fingerprint of what they were parsed into.
    pub(crate) fn of(known: impl IntoIterator<Item = (N, u64)>) -> Self {
        let known = known.into_iter().map(|(name, outcome)| (name, Fingerprint { source: None, outcome })).collect();
        Self { known, listing: None }
    }

    /// A list begins. A list that was in progress is forgotten.
    pub(crate) fn begin(&mut self) {
        self.listing = Some(Listing { seen: BTreeMap::new(), changes: Vec::new() });
    }

    /// The list in progress contains an object.
    pub(crate) fn list(&mut self, name: N, source: u64, parse: impl FnOnce() -> (u64, C)) {
        let (now, change) = compare(self.known.get(&name), source, parse);
        let Some(listing) = &mut self.listing else { return };
        listing.seen.insert(name, now);
        listing.changes.extend(change);
    }

    /// Whether the list in progress contained an object so far.
    pub(crate) fn has_listed(&self, name: &N) -> bool {
        self.listing.as_ref().is_some_and(|listing| listing.seen.contains_key(name))
    }

    /// The list is complete: what changed since.
    pub(crate) fn complete(&mut self, unlisted: Unlisted, removal: impl Fn(N) -> C) -> Vec<C> {
        let Some(Listing { seen, mut changes }) = self.listing.take() else { return Vec::new() };
        match unlisted {
            Unlisted::Keep => self.known.extend(seen),
            Unlisted::Remove => {
                let gone = self.known.keys().filter(|name| !seen.contains_key(*name)).cloned();
                changes.extend(gone.map(removal));
                self.known = seen;
            }
        }
        changes
    }

    /// An object was added or changed.
    pub(crate) fn apply(&mut self, name: N, source: u64, parse: impl FnOnce() -> (u64, C)) -> Option<C> {
        let (now, change) = compare(self.known.get(&name), source, parse);
        self.known.insert(name, now);
        change
    }

    /// An object was deleted; whether it was known.
    pub(crate) fn delete(&mut self, name: &N) -> bool {
        self.known.remove(name).is_some()
    }
}

/// The object's fingerprint now, and the change, if it is one.
fn compare<C>(before: Option<&Fingerprint>, source: u64, parse: impl FnOnce() -> (u64, C)) -> (Fingerprint, Option<C>) {
    match before {
        Some(before) if before.source == Some(source) => (*before, None),
        _ => {
            let (outcome, change) = parse();
            let is_same = before.is_some_and(|before| before.outcome == outcome);
            (Fingerprint { source: Some(source), outcome }, (!is_same).then_some(change))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Names = Mirror<&'static str, String>;

    fn outcome(name: &'static str, outcome: u64) -> impl FnOnce() -> (u64, String) {
        move || (outcome, format!("{name}={outcome}"))
    }

    fn gone(name: &'static str) -> String {
        format!("{name} gone")
    }

    fn listed(mirror: &mut Names, items: &[(&'static str, u64, u64)], unlisted: Unlisted) -> Vec<String> {
        mirror.begin();
        for (name, source, parsed) in items {
            mirror.list(name, *source, outcome(name, *parsed));
        }
        mirror.complete(unlisted, gone)
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let mut mirror = Names::of([]);
        assert_eq!(listed(&mut mirror, &[("a", 1, 1), ("b", 1, 1)], Unlisted::Remove), ["a=1", "b=1"]);
        assert_eq!(mirror.apply("a", 1, || unreachable!("an unchanged source is not parsed")), None);
        assert_eq!(mirror.apply("a", 2, outcome("a", 1)), None, "another source with the same outcome");
        assert_eq!(mirror.apply("a", 3, outcome("a", 2)), Some("a=2".into()));
        assert_eq!(listed(&mut mirror, &[("b", 1, 1), ("a", 4, 3)], Unlisted::Remove), ["a=3"]);
    }

    #[test]
    fn what_a_list_lacks_is_gone_if_the_list_is_trusted() {
        let mut mirror = Names::of([]);
        listed(&mut mirror, &[("a", 1, 1), ("b", 1, 1)], Unlisted::Remove);
        assert_eq!(listed(&mut mirror, &[("c", 1, 1)], Unlisted::Keep), ["c=1"]);
        assert_eq!(listed(&mut mirror, &[("c", 1, 1), ("a", 1, 1)], Unlisted::Remove), ["b gone"]);
        assert!(mirror.delete(&"a") && !mirror.delete(&"a"));
    }

    #[test]
    fn a_list_that_breaks_off_changes_nothing() {
        let mut mirror = Names::of([]);
        listed(&mut mirror, &[("a", 1, 1)], Unlisted::Remove);
        mirror.begin();
        mirror.list("b", 1, outcome("b", 1));
        assert!(mirror.has_listed(&"b") && !mirror.has_listed(&"a"));
        assert_eq!(listed(&mut mirror, &[("a", 1, 1), ("b", 1, 1)], Unlisted::Remove), ["b=1"]);
    }

    #[test]
    fn what_is_known_from_the_disk_is_no_change() {
        let mut mirror = Names::of([("a", 1), ("b", 1), ("c", 1)]);
        assert_eq!(listed(&mut mirror, &[("a", 7, 1), ("b", 7, 2)], Unlisted::Remove), ["b=2", "c gone"]);
    }
}
