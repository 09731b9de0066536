//! The faults that an agent reports.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::FaultKind;

/// A fault in force, in the words of the agent. `/readyz`, Kubernetes Events and `carrickctl doctor` show the same text and remedy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultReport {
    /// The word of its [`FaultKind`]. Later versions may have more kinds.
    pub kind: String,
    /// Whether the node is not ready for it.
    pub severity: FaultSeverity,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

impl FaultReport {
    /// The kind; `None` for one of a later version.
    #[must_use]
    pub fn known_kind(&self) -> Option<FaultKind> {
        FaultKind::from_word(&self.kind)
    }
}

impl fmt::Display for FaultReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} -> {}", self.text, self.remedy)
    }
}

/// Whether a fault makes the node not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultSeverity {
    /// The node is not ready.
    NotReady,
    /// The node stays ready.
    Warning,
}
