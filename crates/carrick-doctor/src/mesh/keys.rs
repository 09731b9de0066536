//! Whether nodes have the keys that others know.

use std::collections::BTreeMap;

use carrick_topology::{NodeName, PublicKey};

use super::tunnel::planned;
use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// A node's key on disk is the one in its Node object and in the plans of the others.
pub(super) fn keys(observations: &Observations) -> Vec<Finding> {
    let told = observations.answered().filter_map(|(node, pages)| {
        let checks = pages.latest()?;
        let real = checks.public_key?;
        let published = checks.own_node.as_ref().and_then(|own| own.public_key);
        let wrong = others_with_another_key(observations, node, real);
        let text = match published.filter(|published| *published != real) {
            Some(published) => format!("its key is {real}, and its Node object publishes {published}"),
            None if wrong.is_empty() => return None,
            None => format!("its key is {real}, and {} have another one", listed(wrong.keys())),
        };
        let remedy = "restart its agent, which publishes its key; if that stays, look whether the API server refuses it \
                      (publish_failed in its log) and who else writes carrick.dev/public-key";
        Some(Finding::problem(Check::Keys, text, remedy).on(node).towards(wrong.into_keys()))
    });
    told.collect()
}

fn others_with_another_key<'a>(
    observations: &'a Observations,
    node: &NodeName,
    real: PublicKey,
) -> BTreeMap<&'a NodeName, PublicKey> {
    let known = observations.answered().filter_map(|(other, pages)| Some((other, planned(pages.plan()?, node)?.0)));
    known.filter(|(_, key)| *key != real).collect()
}

#[cfg(test)]
mod tests {
    use carrick_topology::PublicKey;

    use crate::fixtures::diagnosed;

    #[test]
    fn a_key_that_others_do_not_know_is_the_one_verdict() {
        let found = diagnosed(|mesh| {
            mesh.checks("b1").public_key = Some(PublicKey::from_bytes([9; 32]));
            mesh.forget_sessions("a1", "b1");
        });
        assert_eq!(found.problems(), ["keys b1"]);
        assert!(found.texts().contains("its Node object publishes"), "{}", found.texts());
        assert_eq!(found.warnings(), [""; 0]);
    }
}
