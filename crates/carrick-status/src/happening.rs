//! What happened on a node.

use serde::{Deserialize, Serialize};

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HappeningKind {
    /// Another gateway carries a location's traffic.
    Gateway,
    /// What others had changed was put right.
    DriftRepair,
    /// Something is left out of the plan, or is so no more.
    Warning,
    /// A path came up or went down.
    Path,
    /// A comparison with the kernel failed.
    Failure,
    /// Changes arrive from the API server again, or no more.
    Api,
}

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When, in milliseconds since 1970-01-01 UTC by the node's clock.
    pub unix_ms: u64,
    /// What kind of thing.
    pub kind: HappeningKind,
    /// What, in words for people.
    pub text: String,
}
