//! A WireGuard peer.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

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
