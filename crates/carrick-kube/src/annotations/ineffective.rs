//! Keys of Carrick that have no effect: misspelt annotations, and annotations that were set as labels.

use std::collections::BTreeMap;

use carrick_topology::WarningReason;

use super::key::{self, PREFIX};
use super::reader::{MOST_WARNINGS_PER_LIST, Reader};

/// Warns about each key below [`PREFIX`] that has no effect. `topology_label` is a label that has one.
pub(super) fn warn_of_ineffective_keys(
    reader: &mut Reader<'_>,
    annotations: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
    topology_label: &str,
) {
    let unknown = annotations.iter().filter_map(|(key, value)| {
        let is_unknown = key.starts_with(PREFIX) && known_keys().all(|known| known != key);
        is_unknown.then(|| (key, value, WarningReason::UnknownKey(nearest(key).to_owned())))
    });
    let misplaced = labels.iter().filter_map(|(key, value)| {
        let is_misplaced = key::PEOPLES.contains(&key.as_str()) && key != topology_label;
        is_misplaced.then_some((key, value, WarningReason::LabelNotAnnotation))
    });
    for (key, value, reason) in unknown.take(MOST_WARNINGS_PER_LIST).chain(misplaced) {
        reader.warn_because(key, value, reason);
    }
}

fn known_keys() -> impl Iterator<Item = &'static str> {
    key::PEOPLES.into_iter().chain(key::AGENTS)
}

/// The known key that has most pairs of letters in common with `unknown`, in any case. Of equal ones the first, and people's before agents'.
fn nearest(unknown: &str) -> &'static str {
    let word = |key: &str| key.strip_prefix(PREFIX).unwrap_or(key).to_lowercase();
    most_alike(known_keys(), unknown, word).unwrap_or(key::LOCATION)
}

/// The known name that has most pairs of letters in common with `unknown`: of equal ones the first. `word` is the part of a name that counts.
pub fn most_alike<'k>(
    known: impl Iterator<Item = &'k str>,
    unknown: &str,
    word: impl Fn(&str) -> String,
) -> Option<&'k str> {
    let likeness = |known: &str| strsim::sorensen_dice(&word(unknown), &word(known));
    known.min_by(|one, other| likeness(other).total_cmp(&likeness(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        for (written, meant) in [
            ("carrick.dev/gatway", key::GATEWAY),
            ("carrick.dev/Gateway", key::GATEWAY),
            ("carrick.dev/end-point", key::ENDPOINT),
            ("carrick.dev/internal-address", key::INTERNAL_ADDRESSES),
            ("carrick.dev/keepalive", key::PERSISTENT_KEEPALIVE),
            ("carrick.dev/allowed-location-ips", key::ALLOWED_LOCATION_CIDRS),
            ("carrick.dev/publickey", key::PUBLIC_KEY),
        ] {
            assert_eq!(nearest(written), meant, "{written}");
        }
    }
}
