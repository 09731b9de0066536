//! Reads values one by one, and notes those that cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::key::most_bytes_of_agents;
use carrick_topology::Warning;
use carrick_topology::model::Family;
use carrick_topology::{ObjectName, WarningReason};
use carrick_types::printable;

/// Bad elements of one list that get a warning each; the rest share one.
pub(crate) const MOST_WARNINGS_PER_LIST: usize = 8;
/// Characters of a bad value that a warning shows.
const MOST_SHOWN: usize = 100;
/// Characters of the explanation.
const MOST_EXPLAINED: usize = 400;

/// Reads the annotations of one object.
pub(crate) struct Reader<'a> {
    object: ObjectName,
    annotations: &'a BTreeMap<String, String>,
    warnings: BTreeSet<Warning>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(object: ObjectName, annotations: &'a BTreeMap<String, String>) -> Self {
        Self { object, annotations, warnings: BTreeSet::new() }
    }

    pub(crate) fn into_warnings(self) -> BTreeSet<Warning> {
        self.warnings
    }

    /// The annotation's value without surrounding blanks; an empty one counts as absent.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        self.annotations.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The single value of an annotation.
    pub(crate) fn one<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let text = self.short_text(key)?;
        self.read(key, text, parse)
    }

    /// The annotation's value, without those of agents that are too long.
    fn short_text(&mut self, key: &str) -> Option<&'a str> {
        let text = self.text(key)?;
        match most_bytes_of_agents(key).filter(|most| text.len() > *most) {
            None => Some(text),
            Some(most) => {
                self.warn_of(key, text, &format!("the value is longer than what an agent writes ({most} bytes)"));
                None
            }
        }
    }

    /// One value of `field`.
    pub(crate) fn read<T>(&mut self, field: &str, text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(expected) => {
                self.warn(field, shown(text, MOST_SHOWN), &expected);
                None
            }
        }
    }

    /// The elements of a list that can be read.
    pub(crate) fn list<T: Ord>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> BTreeSet<T> {
        let text = self.short_text(key).unwrap_or_default();
        let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
        self.read_all(key, elements, parse)
    }

    /// The values of `field` that can be read.
    pub(crate) fn read_all<'t, T: Ord>(
        &mut self,
        field: &str,
        values: impl Iterator<Item = &'t str>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> BTreeSet<T> {
        let mut read = BTreeSet::new();
        let mut unreadable = 0;
        let mut last_problem = String::new();
        for value in values {
            match parse(value) {
                Ok(value) => drop(read.insert(value)),
                Err(expected) => {
                    unreadable += 1;
                    if unreadable <= MOST_WARNINGS_PER_LIST {
                        self.warn(field, shown(value, MOST_SHOWN), &expected);
                    } else {
                        last_problem = expected;
                    }
                }
            }
        }
        if unreadable > MOST_WARNINGS_PER_LIST {
            let more = format!("{} more", unreadable - MOST_WARNINGS_PER_LIST);
            self.warn(field, more, &last_problem);
        }
        read
    }

    /// The elements of a list of which an agent writes one for each family: the first in order of each. `address_of` gives an element's address.
    pub(crate) fn one_per_family<T: Ord + Clone + fmt::Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
        address_of: impl Fn(&T) -> Option<IpAddr>,
    ) -> BTreeSet<T> {
        let mut kept: BTreeMap<Option<Family>, T> = BTreeMap::new();
        for element in self.list(key, parse) {
            let family = address_of(&element).map(Family::from);
            let first = kept.entry(family).or_insert_with(|| element.clone()).clone();
            if first != element {
                self.warn(key, element.to_string(), &format!("one address for each family; {first} is used"));
            }
        }
        kept.into_values().collect()
    }

    /// Warns about a value as it was written.
    pub(crate) fn warn_of(&mut self, field: &str, value: &str, expected: &str) {
        self.warn(field, shown(value, MOST_SHOWN), expected);
    }

    /// Warns about a value as it was written, for a reason other than its form.
    pub(crate) fn warn_because(&mut self, field: &str, value: &str, reason: WarningReason) {
        self.warnings.insert(Warning::new(
            self.object.clone(),
            &shown(field, MOST_SHOWN),
            shown(value, MOST_SHOWN),
            reason,
        ));
    }

    pub(crate) fn warn(&mut self, field: &str, value: String, expected: &str) {
        let reason = WarningReason::Unreadable(shown(expected, MOST_EXPLAINED));
        self.warnings.insert(Warning::new(self.object.clone(), field, value, reason));
    }
}

/// The value, cut to a length that logs and Events can bear, without characters that would break a line.
fn shown(value: &str, most: usize) -> String {
    let end = value.char_indices().nth(most).map_or(value.len(), |(end, _)| end);
    let mut shown = printable(&value[..end]);
    if end < value.len() {
        shown.push('…');
    }
    shown
}
