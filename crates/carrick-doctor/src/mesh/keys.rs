//! Whether nodes use the keys that other nodes know.

use std::collections::BTreeMap;

use carrick_topology::{NodeName, PublicKey};

use super::tunnel::planned;
use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// A node's key on disk is the key in its Node object and in the plans of other nodes.
pub(super) fn keys(observations: &Observations) -> Vec<Finding> {
    let findings = observations.answered().filter_map(|(node, pages)| {
        let checks = pages.latest()?;
        let real = checks.public_key?;
        let published = checks.own_node.as_ref().and_then(|own| own.public_key);
        let wrong = others_with_another_key(observations, node, real);
        let text = match published.filter(|published| *published != real) {
            Some(published) => format!("the key on disk is {real}, and the Node object publishes {published}"),
            None if wrong.is_empty() => return None,
            None => format!("the key on disk is {real}, and {} use another key for the node", listed(wrong.keys())),
        };
        let remedy = "restart the agent, which publishes the key; if the fault stays, check whether the API server refuses the key \
                      (publish_failed in the agent's log) and which program writes carrick.dev/public-key";
        Some(Finding::problem(Check::Keys, text, remedy).on(node).towards(wrong.into_keys()))
    });
    findings.collect()
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
    fn an_unpublished_key_is_the_only_problem() {
        let found = diagnosed(|mesh| {
            mesh.checks("b1").public_key = Some(PublicKey::from_bytes([9; 32]));
            mesh.forget_sessions("a1", "b1");
        });
        assert_eq!(found.problems(), ["keys b1"]);
        assert!(found.texts().contains("the Node object publishes"), "{}", found.texts());
        assert_eq!(found.warnings(), [""; 0]);
    }
}
