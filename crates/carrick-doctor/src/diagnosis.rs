//! All checks together.

use carrick_topology::NodeName;

use crate::node::{self, Subject};
use crate::{Check, Finding, Observations, mesh};

/// Runs all checks. A check that finds nothing has one finding that says so.
#[must_use]
pub fn diagnose(observations: &Observations) -> Vec<Finding> {
    let mut findings = mesh::findings(observations);
    for (name, pages) in observations.answered() {
        let Some(checks) = pages.latest() else { continue };
        let subject = Subject { status: &pages.status, checks };
        findings.extend(node::findings(&subject).into_iter().map(|finding| finding.on(name)));
    }
    let silent = Check::ALL.into_iter().filter(|check| findings.iter().all(|finding| finding.check != *check));
    let fine: Vec<Finding> = silent.map(|check| Finding::ok(check, "")).collect();
    findings.extend(fine);
    findings.sort();
    findings
}

/// The findings about one node, at either end; a check that found something elsewhere alone is fine here.
#[must_use]
pub fn concerning(findings: &[Finding], node: &NodeName) -> Vec<Finding> {
    let about = |finding: &&Finding| finding.concerns(node) || finding.node.is_none();
    let mut concerning: Vec<Finding> = findings.iter().filter(about).cloned().collect();
    let silent = Check::ALL.into_iter().filter(|check| concerning.iter().all(|finding| finding.check != *check));
    let fine: Vec<Finding> = silent.map(|check| Finding::ok(check, "")).collect();
    concerning.extend(fine);
    concerning.sort();
    concerning
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{mesh, wrong};
    use crate::{Severity, worst};

    #[test]
    fn a_sound_mesh_has_one_line_for_each_check() {
        let findings = diagnose(&mesh());
        assert_eq!(wrong(&findings), Vec::<String>::new());
        assert_eq!(worst(&findings), Severity::Ok);
        let named: Vec<Check> = findings.iter().map(|finding| finding.check).collect();
        assert_eq!(named, Check::ALL);
    }

    #[test]
    fn one_node_can_be_asked_for() {
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
