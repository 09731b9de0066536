//! The admission policies, as the agents found them when they last looked.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::NodeName;

use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// The policies are in force. Each fault is one finding, whichever agents report it.
pub(super) fn policies(observations: &Observations) -> Vec<Finding> {
    let mut seen: BTreeMap<&str, BTreeSet<&NodeName>> = BTreeMap::new();
    for (node, pages) in observations.answered() {
        for fault in &pages.status.policy_faults {
            seen.entry(fault).or_default().insert(node);
        }
    }
    let finding = |(fault, reporters): (&str, BTreeSet<&NodeName>)| {
        Finding::warning(
            Check::AdmissionPolicy,
            format!(
                "{fault}: a node can write annotations that speak for other nodes (according to {})",
                listed(&reporters)
            ),
            "apply deploy/policy.yaml and deploy/rbac.yaml from the checkout of the running version, or with Helm run \
             `helm upgrade` (docs/operations.md, \"Restore the admission policies\"); agents look again within 10 min",
        )
    };
    seen.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use crate::fixtures::diagnosed;

    #[test]
    fn a_missing_policy_is_one_finding() {
        let fault = "the ValidatingAdmissionPolicy carrick-nodes is not installed";
        let found = diagnosed(|mesh| {
            for node in ["a1", "b1"] {
                mesh.status(node).policy_faults = [fault.to_owned()].into();
            }
        });
        assert_eq!(found.warnings(), ["admission-policy -"]);
        assert!(found.texts().contains("speak for other nodes (according to a1, b1)"), "{}", found.texts());
        for remedy in
            ["deploy/rbac.yaml from the checkout of the running version", "\"Restore the admission policies\""]
        {
            assert!(found.remedies().contains(remedy), "{}", found.remedies());
        }
    }
}
