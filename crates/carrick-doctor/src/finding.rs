//! The result of a check.

use std::collections::BTreeSet;
use std::fmt;

use carrick_topology::NodeName;
use serde::{Deserialize, Serialize};

use crate::Check;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Not known: the check needs the pages of nodes that did not answer, or that were not asked.
    NotExamined,
    /// No fault.
    Ok,
    /// The mesh works, but something may stop working, or does not work for all nodes.
    Warning,
    /// Something does not work.
    Problem,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::NotExamined => "not examined",
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// The severity.
    pub severity: Severity,
    /// The node that the finding is about; absent if the finding is about the whole mesh, or about the machine that runs the checks.
    pub node: Option<NodeName>,
    /// The nodes at the other ends, if the finding is about connections between nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub others: BTreeSet<NodeName>,
    /// What is wrong, for people; may be empty if nothing is wrong.
    pub text: String,
    /// What to do about it, for people; empty if there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// A finding with [`Severity::Problem`].
    pub fn problem(check: Check, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Severity::Problem, text.into(), remedy.into())
    }

    /// A finding with [`Severity::Warning`].
    pub fn warning(check: Check, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Severity::Warning, text.into(), remedy.into())
    }

    /// A finding with [`Severity::Ok`] and without a remedy.
    pub fn ok(check: Check, text: impl Into<String>) -> Self {
        Self::new(check, Severity::Ok, text.into(), String::new())
    }

    /// A finding with [`Severity::NotExamined`] and without a remedy.
    pub(crate) fn not_examined(check: Check, text: impl Into<String>) -> Self {
        Self::new(check, Severity::NotExamined, text.into(), String::new())
    }

    const fn new(check: Check, severity: Severity, text: String, remedy: String) -> Self {
        Self { check, severity, node: None, others: BTreeSet::new(), text, remedy }
    }

    /// Sets the node that the finding is about.
    #[must_use]
    pub fn on(mut self, node: &NodeName) -> Self {
        self.node = Some(node.clone());
        self
    }

    /// Sets the nodes at the other ends.
    #[must_use]
    pub fn towards<'a>(mut self, others: impl IntoIterator<Item = &'a NodeName>) -> Self {
        self.others = others.into_iter().cloned().collect();
        self
    }

    /// Whether the finding concerns a node, at either end.
    #[must_use]
    pub fn concerns(&self, node: &NodeName) -> bool {
        self.node.as_ref() == Some(node) || self.others.contains(node)
    }
}

/// The highest severity of the findings; [`Severity::Ok`] if there are none, or if nothing was examined.
#[must_use]
pub fn worst(findings: &[Finding]) -> Severity {
    findings.iter().map(|finding| finding.severity).fold(Severity::Ok, Severity::max)
}

/// A list of names for people. A long list is cut after its first names.
pub(crate) fn listed(names: impl IntoIterator<Item = impl fmt::Display>) -> String {
    const SHOWN: usize = 5;
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..SHOWN].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_after_five_names() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(listed(1..=5), "1, 2, 3, 4, 5");
        assert_eq!(listed(1..=7), "1, 2, 3, 4, 5 and 2 more");
    }
}
