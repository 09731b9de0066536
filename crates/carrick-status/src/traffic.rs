//! Traffic counters of the tunnels.

use carrick_topology::LocationName;
use serde::{Deserialize, Serialize};

/// What this node sent through its tunnels from its location to another one since its agent started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// The location of this node.
    pub from: LocationName,
    /// The location of the other ends of the tunnels.
    pub to: LocationName,
    /// Bytes as WireGuard counts them: packets with WireGuard's headers, without the UDP and IP headers.
    pub sent_bytes: u64,
    /// Bytes per second, averaged over the last minute.
    pub sent_bytes_per_second: f64,
}
