//! The state of a WireGuard peer.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The age of the last handshake from which on a session is no longer valid, in seconds (`REJECT_AFTER_TIME`, WireGuard paper §6.1).
pub const SESSION_SECONDS: u64 = 180;

/// The state of a WireGuard peer on the device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerState {
    /// The source of the last packet from the peer, or else the configured endpoint.
    pub endpoint: Option<SocketAddr>,
    /// The age of the last handshake when the agent last read the device, in seconds; absent if there was no handshake.
    pub seconds_since_handshake: Option<u64>,
    /// Bytes received from the peer, as WireGuard counts them.
    #[serde(default)]
    pub received_bytes: u64,
    /// Bytes sent to the peer, as WireGuard counts them.
    #[serde(default)]
    pub sent_bytes: u64,
    /// The source networks that WireGuard accepts from the peer, and the destinations that it sends to the peer.
    #[serde(default)]
    pub allowed_ips: BTreeSet<IpNet>,
}

impl PeerState {
    /// Whether the session with the peer can still be valid.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.seconds_since_handshake.is_some_and(|seconds| seconds < SESSION_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_valid_for_three_minutes_after_its_handshake() {
        let at = |seconds_since_handshake| PeerState { seconds_since_handshake, ..PeerState::default() };
        assert!(at(Some(179)).has_session());
        assert!(!at(Some(180)).has_session());
        assert!(!at(None).has_session());
    }
}
