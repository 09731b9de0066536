//! Events of an agent.

use serde::{Deserialize, Serialize};

/// The kind of an [`AgentEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentEventKind {
    /// Another gateway took over a location's traffic, or gave it back.
    Gateway,
    /// The agent repaired a difference between kernel and plan that the plan did not cause.
    DriftRepair,
    /// A value is newly ignored by the plan, or no longer ignored.
    Warning,
    /// A probed path came up or went down.
    Path,
    /// Applying the plan to the kernel failed.
    Failure,
    /// The connection to the API server was lost or restored.
    Api,
}

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentEvent {
    /// When the event happened, in milliseconds since 1970-01-01 UTC by the node's clock.
    pub unix_ms: u64,
    /// The kind of the event.
    pub kind: AgentEventKind,
    /// The description, for people.
    pub text: String,
}
