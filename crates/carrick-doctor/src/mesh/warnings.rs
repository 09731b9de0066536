//! What the plans left out.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::NodeName;
use carrick_topology::{ObjectName, Warning, WarningReason};

use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// The warnings of all plans, each told once.
pub(super) fn warnings(observations: &Observations) -> Vec<Finding> {
    let mut seen: BTreeMap<&Warning, BTreeSet<&NodeName>> = BTreeMap::new();
    for (node, pages) in observations.answered() {
        for warning in pages.plan().into_iter().flat_map(|plan| &plan.warnings) {
            seen.entry(warning).or_default().insert(node);
        }
    }
    seen.into_iter().filter(|(warning, _)| !is_told_elsewhere(observations, warning)).map(told).collect()
}

/// Settings that differ are compared directly where both agents answer.
fn is_told_elsewhere(observations: &Observations, warning: &Warning) -> bool {
    match (&warning.object, &warning.reason) {
        (ObjectName::Node(one), WarningReason::SettingsDiffer(other)) => {
            [one, other].into_iter().all(|node| observations.pages(node).is_some())
        }
        _ => false,
    }
}

fn told((warning, told_by): (&Warning, BTreeSet<&NodeName>)) -> Finding {
    let (check, remedy) = match &warning.reason {
        WarningReason::ClaimedBy(_) | WarningReason::OverlapsCluster(_) => (
            Check::OverlappingCidrs,
            format!("change {} of {}: no two may claim the same", warning.field, warning.object),
        ),
        WarningReason::OverlapsOwnSubnet(_) => (
            Check::OverlappingCidrs,
            format!("renumber one of the two networks if {} is to reach the other", listed(&told_by)),
        ),
        WarningReason::SettingsDiffer(_) => (Check::SharedSettings, "give all agents the same flags".to_owned()),
        _ => (
            Check::IgnoredValues,
            format!("set {} of {} right; docs/annotations.md says what it takes", warning.field, warning.object),
        ),
    };
    let finding = Finding::warning(check, warning.to_string(), remedy);
    match (&warning.object, &warning.reason) {
        (_, WarningReason::OverlapsOwnSubnet(_)) => match told_by.first() {
            Some(node) => finding.on(node).towards(told_by.iter().copied().skip(1)),
            None => finding,
        },
        (ObjectName::Node(node), _) => finding.on(node),
        (ObjectName::Peer(_) | ObjectName::Location(_), _) => finding,
    }
}

#[cfg(test)]
mod tests {
    use carrick_topology::{ObjectName, Warning, WarningReason};

    use crate::fixtures::diagnosed;

    fn warning(field: &str, reason: WarningReason) -> Warning {
        Warning::new(ObjectName::Node("b1".parse().unwrap()), field, "10.42.1.0/24", reason)
    }

    #[test]
    fn what_all_agents_say_is_told_once() {
        let owner = ObjectName::Node("a1".parse().unwrap());
        let found = diagnosed(|mesh| {
            for node in ["a1", "a2", "b1"] {
                mesh.plan(node).warnings = [warning("pod-cidrs", WarningReason::ClaimedBy(owner.clone()))].into();
            }
        });
        assert_eq!(found.warnings(), ["overlapping-cidrs b1"]);
        assert!(found.texts().contains("is claimed by node `a1`, which is older"));
    }

    #[test]
    fn other_values_are_left_out_under_another_name() {
        let found = diagnosed(|mesh| {
            mesh.plan("a1").warnings = [warning("endpoint", WarningReason::Unreadable("host:port".to_owned()))].into();
        });
        assert_eq!(found.warnings(), ["ignored-values b1"]);
    }

    #[test]
    fn an_own_subnet_with_the_same_numbers_is_the_matter_of_who_has_it() {
        let found = diagnosed(|mesh| {
            let reason = WarningReason::OverlapsOwnSubnet("10.42.0.0/16".to_owned());
            mesh.plan("a1").warnings = [warning("internal-addresses", reason)].into();
        });
        assert_eq!(found.warnings(), ["overlapping-cidrs a1"]);
    }
}
