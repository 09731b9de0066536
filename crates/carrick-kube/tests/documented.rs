//! The tables of annotations in `docs/annotations.md` against the keys.

#![expect(clippy::unwrap_used, reason = "all of this is tests")]

use std::collections::BTreeSet;

use carrick_kube::annotations::{PREFIX, key};

const PAGE: &str = include_str!("../../../docs/annotations.md");
const SOURCE: &str = include_str!("../src/annotations/key.rs");

/// The keys in the first cells of the first table below a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).map(|row| format!("{PREFIX}{}", row.split('`').nth(1).unwrap())).collect()
}

#[test]
fn the_page_lists_the_annotations_that_the_agent_writes() {
    assert_eq!(documented("Annotations that the agent writes"), key::AGENTS.map(str::to_owned).into());
}

#[test]
fn the_page_lists_the_annotations_that_people_set() {
    let literals = SOURCE.split('"').skip(1).step_by(2);
    let keys = literals.filter(|text| text.starts_with(PREFIX) && *text != PREFIX).map(str::to_owned);
    let people: BTreeSet<String> = keys.filter(|key| !key::AGENTS.contains(&key.as_str())).collect();
    assert!(people.contains(key::LOCATION), "{people:?}");
    assert_eq!(documented("Annotations that people set"), people);
}
