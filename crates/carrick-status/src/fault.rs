//! The faults that an agent reports.

use serde::{Deserialize, Serialize};

/// A fault in force, in the words of the agent. `/readyz`, Kubernetes Events and `carrickctl doctor` show the same text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultReport {
    /// The kind as one word: the label `kind` of the metric `carrick_faults`, and the reason of the Event. Later versions may have more.
    pub kind: String,
    /// Whether the node is not ready for it.
    pub severity: FaultSeverity,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
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
