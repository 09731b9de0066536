//! The WireGuard device and its peers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{DeviceName, DnsName, NodeName, PeerName, PublicKey, SecretReference};

/// The WireGuard device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireGuardPlan {
    /// Its name.
    pub device: DeviceName,
    /// UDP port on which it listens.
    pub port: u16,
    /// Firewall mark on its outer packets.
    pub firewall_mark: u32,
    /// Its MTU in bytes, never below 1280.
    pub mtu: u32,
    /// Its peers. No two share an allowed IP.
    pub peers: BTreeMap<PublicKey, WireGuardPeer>,
}

/// The identity of a WireGuard peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerIdentity {
    /// A node, with the nodes whose traffic it carries.
    Node(NodeName),
    /// An outside device.
    Outside(PeerName),
}

/// One WireGuard peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireGuardPeer {
    /// Its identity.
    pub identity: PeerIdentity,
    /// Where to dial it; `None` if it dials in, or if its domain name is not resolved yet.
    pub endpoint: Option<SocketAddr>,
    /// The domain name of its endpoint, if it has one that resolves to several addresses which this node can dial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<NamedEndpoint>,
    /// Seconds between keepalives; `None` if they are off, never 0.
    pub persistent_keepalive: Option<u16>,
    /// The Secret that holds its preshared key.
    pub preshared_key: Option<SecretReference>,
    /// The source addresses that are accepted from it, and the destinations that are sent to it.
    pub allowed_ips: BTreeSet<IpNet>,
}

/// A domain name with several addresses, which are dialled one after the other until a handshake comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedEndpoint {
    /// The name.
    pub name: DnsName,
    /// Its addresses that this node can dial, in the order in which they are tried.
    pub addresses: Vec<IpAddr>,
}
