//! What the kernel holds for a WireGuard device and its peers.

use std::net::SocketAddr;
use std::time::Duration;

use carrick_types::{PublicKey, SecretKey};
use ipnet::IpNet;

/// What the kernel holds for one WireGuard device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its private key, where it has one.
    pub private_key: Option<SecretKey>,
    /// The public half, where it has one.
    pub public_key: Option<PublicKey>,
    /// UDP port on which it listens; 0 while it is down and none was chosen.
    pub port: u16,
    /// Firewall mark on its outer packets; 0 for none.
    pub firewall_mark: u32,
    /// Its peers, in the kernel's order.
    pub peers: Vec<Peer>,
}

/// What the kernel holds for one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub public_key: PublicKey,
    /// The key that is mixed into handshakes with it, where there is one.
    pub preshared_key: Option<SecretKey>,
    /// Where packets to it go at present; it moves with the peer.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keepalives; `None` when they are off.
    pub persistent_keepalive: Option<u16>,
    /// When the last handshake was completed, since the Unix epoch; `None` before the first.
    pub last_handshake: Option<Duration>,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// The networks it may send from, and that are sent to it.
    pub allowed_ips: Vec<IpNet>,
}

impl Peer {
    /// A peer of which only its key is known: without endpoint, allowed IPs, handshake and counted bytes.
    #[must_use]
    pub const fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            preshared_key: None,
            endpoint: None,
            persistent_keepalive: None,
            last_handshake: None,
            received_bytes: 0,
            sent_bytes: 0,
            allowed_ips: Vec::new(),
        }
    }
}
