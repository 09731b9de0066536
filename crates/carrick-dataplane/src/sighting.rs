//! What WireGuard learned of each peer by itself: its address, its latest handshake, its counters.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use carrick_netlink::wireguard::Device;
use carrick_topology::PublicKey;
use ipnet::IpNet;

/// A session is dead when its handshake is older than this (`REJECT_AFTER_TIME`, WireGuard paper §6.1).
pub const SESSION_LIFETIME: Duration = Duration::from_secs(180);

/// What WireGuard knows of a peer by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Where the peer's packets last came from, or where it is dialled.
    pub endpoint: Option<SocketAddr>,
    /// The time since the last handshake; `None` when there was none.
    pub since_handshake: Option<Duration>,
    /// Bytes received from it since the device or the peer was created.
    pub received_bytes: u64,
    /// Bytes sent to it since the device or the peer was created.
    pub sent_bytes: u64,
    /// What it may send, and what is sent to it.
    pub allowed_ips: Vec<IpNet>,
}

impl Sighting {
    /// Whether the session with the peer may still live (`REJECT_AFTER_TIME`, WireGuard paper §6.1).
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.since_handshake.is_some_and(|since| since < SESSION_LIFETIME)
    }
}

/// What a WireGuard device knows of its peers by itself.
#[must_use]
pub fn sightings(device: Device, now: SystemTime) -> BTreeMap<PublicKey, Sighting> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    device
        .peers
        .into_iter()
        .map(|peer| {
            let sighting = Sighting {
                endpoint: peer.endpoint,
                since_handshake: peer.last_handshake.map(|time| now.saturating_sub(time)),
                received_bytes: peer.received_bytes,
                sent_bytes: peer.sent_bytes,
                allowed_ips: peer.allowed_ips,
            };
            (peer.public_key, sighting)
        })
        .collect()
}
