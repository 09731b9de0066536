//! What went through the tunnels.

use carrick_topology::LocationName;
use serde::{Deserialize, Serialize};

/// What this node sent through its tunnels from one location to another since its agent started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Where this node stands.
    pub from: LocationName,
    /// Where the other ends of the tunnels stand.
    pub to: LocationName,
    /// Bytes, as WireGuard counts them: the packets with WireGuard's headers, without those of UDP and IP.
    pub sent_bytes: u64,
    /// Bytes a second over the last minute.
    pub sent_bytes_per_second: f64,
}
