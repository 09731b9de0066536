//! The gateways of a location, as agents see them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// The most names in a list of agents for people.
const MAX_NAMES: usize = 5;

/// The gateways of a location.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gateways {
    /// The active gateways.
    pub active: BTreeSet<String>,
    /// The standby gateways.
    pub standby: BTreeSet<String>,
}

/// The gateways of a location as agents see them, each view with the nodes of these agents.
pub(super) type Views = BTreeMap<Gateways, BTreeSet<String>>;

/// All names of a list.
pub(super) fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The first names of a list.
pub(super) fn some(names: &BTreeSet<String>) -> String {
    let shown: BTreeSet<String> = names.iter().take(MAX_NAMES).cloned().collect();
    match names.len() - shown.len() {
        0 => listed(&shown),
        more => format!("{} and {more} more", listed(&shown)),
    }
}
