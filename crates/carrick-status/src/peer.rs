//! A WireGuard peer.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A session is dead when its handshake is older than this, in seconds (`REJECT_AFTER_TIME`, WireGuard paper §6.1).
pub const SESSION_SECONDS: u64 = 180;

/// A WireGuard peer as the device has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerState {
    /// Where its packets last came from, or where it is dialled.
    pub endpoint: Option<SocketAddr>,
    /// The time since the last handshake when the device was last looked at; absent when there was none.
    pub seconds_since_handshake: Option<u64>,
    /// Bytes received from it, as WireGuard counts them.
    #[serde(default)]
    pub received_bytes: u64,
    /// Bytes sent to it, as WireGuard counts them.
    #[serde(default)]
    pub sent_bytes: u64,
    /// What it may send, and what is sent to it.
    #[serde(default)]
    pub allowed_ips: BTreeSet<IpNet>,
}

impl PeerState {
    /// Whether the session with the peer may still live.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.seconds_since_handshake.is_some_and(|seconds| seconds < SESSION_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lives_for_three_minutes_after_its_handshake() {
        let at = |seconds_since_handshake| PeerState { seconds_since_handshake, ..PeerState::default() };
        assert!(at(Some(179)).has_session());
        assert!(!at(Some(180)).has_session());
        assert!(!at(None).has_session());
    }
}
