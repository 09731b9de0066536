//! Bandwidth limits.

use serde::{Deserialize, Serialize};

/// The bandwidth limit of a pod in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Bits per second.
    pub rate: u64,
    /// Size of the token bucket in bits: how much may pass at once after a pause.
    pub burst: u64,
}
