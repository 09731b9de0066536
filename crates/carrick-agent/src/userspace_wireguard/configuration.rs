//! What a WireGuard device is told, and what it tells, independent of engine and wire format.

use std::net::SocketAddr;
use std::time::SystemTime;

use ipnet::IpNet;

use carrick_topology::PublicKey;

use crate::key::SecretKey;

/// One change of a device: all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceChange {
    /// The device's private key.
    pub private_key: Setting<SecretKey>,
    /// The UDP port to listen on; 0 lets the kernel choose.
    pub listen_port: Option<u16>,
    /// `SO_MARK` of the outer packets; 0 marks nothing.
    pub firewall_mark: Option<u32>,
    /// What happens to peers that `peers` does not name.
    pub unnamed_peers: UnnamedPeers,
    /// Changes of single peers, applied in order.
    pub peers: Vec<PeerChange>,
}

/// What happens to a value that can also be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Setting<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is removed.
    Clear,
    /// It is replaced.
    Set(T),
}

/// What happens to peers that a change does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnnamedPeers {
    /// They stay untouched.
    #[default]
    Keep,
    /// They are removed.
    Remove,
}

/// A change of one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerChange {
    /// Remove the peer; without effect when there is none.
    Remove(PublicKey),
    /// Create the peer or change an existing one.
    Update(PeerUpdate),
}

/// The new values of one peer; what is not given stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUpdate {
    /// Which peer.
    pub public_key: PublicKey,
    /// What to do when there is no such peer yet.
    pub absent_peer: AbsentPeer,
    /// The key mixed into the handshakes to come.
    pub preshared_key: Setting<SecretKey>,
    /// Where the peer was last known to listen.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keepalives; 0 turns them off.
    pub persistent_keepalive: Option<u16>,
    /// What happens to the peer's allowed IPs before `allowed_ips` is applied.
    pub present_allowed_ips: PresentAllowedIps,
    /// Allowed IPs that come and go, in order.
    pub allowed_ips: Vec<AllowedIpChange>,
}

/// What an update does when its peer does not exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AbsentPeer {
    /// Create it.
    #[default]
    Create,
    /// Leave it at that (`update_only`).
    Skip,
}

/// What happens to the allowed IPs that a peer already has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PresentAllowedIps {
    /// They stay.
    #[default]
    Keep,
    /// They are dropped (`replace_allowed_ips`).
    Drop,
}

/// One allowed IP that comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedIpChange {
    /// The peer gets it; whichever peer had it loses it.
    Add(IpNet),
    /// The peer loses it, if it has it.
    Remove(IpNet),
}

/// What a device holds at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Its private key, if one was set.
    pub private_key: Option<SecretKey>,
    /// The UDP port it listens on.
    pub listen_port: u16,
    /// `SO_MARK` of the outer packets; 0 marks nothing.
    pub firewall_mark: u32,
    /// Its peers, ordered by public key.
    pub peers: Vec<PeerStatus>,
}

/// What a device knows of one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which peer.
    pub public_key: PublicKey,
    /// The key mixed into handshakes.
    pub preshared_key: Option<SecretKey>,
    /// Where its last authenticated packet came from, or what was configured.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keepalives; 0 means off.
    pub persistent_keepalive: u16,
    /// The addresses that are routed to it and accepted from it, in order.
    pub allowed_ips: Vec<IpNet>,
    /// When the last handshake completed.
    pub last_handshake: Option<SystemTime>,
    /// Bytes received from it, as WireGuard counts them.
    pub received_bytes: u64,
    /// Bytes sent to it, as WireGuard counts them.
    pub sent_bytes: u64,
}

impl PeerUpdate {
    /// An update that changes nothing but makes sure that the peer exists.
    pub fn new(public_key: PublicKey) -> Self {
        Self {
            public_key,
            absent_peer: AbsentPeer::default(),
            preshared_key: Setting::default(),
            endpoint: None,
            persistent_keepalive: None,
            present_allowed_ips: PresentAllowedIps::default(),
            allowed_ips: Vec::new(),
        }
    }
}

impl PeerChange {
    /// The peer that the change is about.
    pub fn public_key(&self) -> PublicKey {
        match self {
            Self::Remove(public_key) => *public_key,
            Self::Update(update) => update.public_key,
        }
    }
}
