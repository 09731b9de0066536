//! Runs all checks.

use std::collections::BTreeSet;

use carrick_topology::NodeName;

use crate::node::{self, Subject};
use crate::{Check, Finding, Observations, mesh};

/// Runs all checks. A check without a fault gives one finding with [`crate::Severity::Ok`], or with [`crate::Severity::NotExamined`] if the
/// pages that it needs are not known.
#[must_use]
pub fn diagnose(observations: &Observations) -> Vec<Finding> {
    let mut findings = mesh::findings(observations);
    for (name, pages) in observations.answered() {
        let Some(checks) = pages.latest() else { continue };
        let subject = Subject { status: &pages.status, checks };
        // What the agent reports itself is in its own words.
        let reported: BTreeSet<Check> = findings
            .iter()
            .filter(|finding| finding.node.as_ref() == Some(name))
            .map(|finding| finding.check)
            .collect();
        let own = node::findings(&subject).into_iter().filter(|finding| !reported.contains(&finding.check));
        findings.extend(own.map(|finding| finding.on(name)));
    }
    let mut unexamined = mesh::unexamined(observations);
    unexamined.retain(|own| findings.iter().all(|finding| finding.check != own.check));
    findings.extend(unexamined);
    with_all_checks(findings)
}

/// The findings that concern a node, including those about the mesh as a whole. A check whose findings concern only other nodes gives one
/// finding with [`crate::Severity::Ok`].
#[must_use]
pub fn concerning(findings: &[Finding], node: &NodeName) -> Vec<Finding> {
    let about = |finding: &&Finding| finding.concerns(node) || finding.node.is_none();
    with_all_checks(findings.iter().filter(about).cloned().collect())
}

/// Sorts the findings, and adds one with [`crate::Severity::Ok`] for each check that has none.
fn with_all_checks(mut findings: Vec<Finding>) -> Vec<Finding> {
    let without = Check::ALL.into_iter().filter(|check| findings.iter().all(|finding| finding.check != *check));
    let ok: Vec<Finding> = without.map(|check| Finding::ok(check, "")).collect();
    findings.extend(ok);
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{mesh, wrong};
    use crate::{Severity, worst};

    #[test]
    fn a_healthy_mesh_has_one_finding_for_each_check() {
        let findings = diagnose(&mesh());
        assert_eq!(wrong(&findings), Vec::<String>::new());
        assert_eq!(worst(&findings), Severity::Ok);
        let named: Vec<Check> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(named, Check::ALL);
    }

    #[test]
    fn findings_about_other_nodes_are_dropped_for_one_node() {
        let findings = [
            Finding::problem(Check::Clock, "late", "set it").on(&"a1".parse().unwrap()),
            Finding::problem(Check::Keys, "other", "set it")
                .on(&"a1".parse().unwrap())
                .towards(&["b1".parse().unwrap()]),
        ];
        let about = concerning(&findings, &"b1".parse().unwrap());
        assert_eq!(wrong(&about), ["keys a1"]);
        assert_eq!(about.len(), Check::ALL.len());
    }
}
