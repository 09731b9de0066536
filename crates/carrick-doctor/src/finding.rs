//! What a check found.

use std::collections::BTreeSet;
use std::fmt;

use carrick_topology::NodeName;
use serde::{Deserialize, Serialize};

use crate::Check;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// The mesh works, and may not do so for long, or not for all.
    Warning,
    /// Something does not work.
    Problem,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Which check.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// The node that it is about; absent where it is about the mesh as a whole, or about whoever asks.
    pub node: Option<NodeName>,
    /// The nodes at the other ends, where it is about what is between nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub others: BTreeSet<NodeName>,
    /// What is wrong; empty where nothing is and there is nothing to tell.
    pub text: String,
    /// The one thing to do; empty where there is nothing to do.
    pub remedy: String,
}

impl Finding {
    /// Something that does not work.
    pub fn problem(check: Check, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Severity::Problem, text.into(), remedy.into())
    }

    /// Something that works and may not do so for long, or not for all.
    pub fn warning(check: Check, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(check, Severity::Warning, text.into(), remedy.into())
    }

    /// Something good to know.
    pub fn ok(check: Check, text: impl Into<String>) -> Self {
        Self::new(check, Severity::Ok, text.into(), String::new())
    }

    const fn new(check: Check, severity: Severity, text: String, remedy: String) -> Self {
        Self { check, severity, node: None, others: BTreeSet::new(), text, remedy }
    }

    /// The same about a node.
    #[must_use]
    pub fn on(mut self, node: &NodeName) -> Self {
        self.node = Some(node.clone());
        self
    }

    /// The same with the nodes at the other ends.
    #[must_use]
    pub fn towards<'a>(mut self, others: impl IntoIterator<Item = &'a NodeName>) -> Self {
        self.others = others.into_iter().cloned().collect();
        self
    }

    /// Whether it is about a node, at either end.
    #[must_use]
    pub fn concerns(&self, node: &NodeName) -> bool {
        self.node.as_ref() == Some(node) || self.others.contains(node)
    }
}

/// The worst of all; [`Severity::Ok`] for none.
#[must_use]
pub fn worst(findings: &[Finding]) -> Severity {
    findings.iter().map(|finding| finding.severity).max().unwrap_or(Severity::Ok)
}

/// Names in a row, the first ones if there are many.
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
    fn long_lists_are_cut() {
        assert_eq!(listed(["a", "b"]), "a, b");
        assert_eq!(listed(1..=5), "1, 2, 3, 4, 5");
        assert_eq!(listed(1..=7), "1, 2, 3, 4, 5 and 2 more");
    }
}
