//! What is measured.

use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// The number of nodes of the cluster, the agent's own node included.
    pub nodes: usize,
    /// How long the steady cluster is measured.
    pub steady: Duration,
    /// The number of endpoints that are changed, and the number of nodes that are added.
    pub changes: usize,
}
