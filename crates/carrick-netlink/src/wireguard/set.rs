//! Changing a device. One message holds at most 64 KiB of peers, so a change is split over as many as it needs;
//! of a peer that is split, only the first part replaces its allowed IPs.

use std::net::SocketAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLA_HEADER_SIZE, Nla};
use netlink_packet_generic::GenlMessage;
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAllowedIpFlags, WireguardAttribute,
    WireguardCmd, WireguardDeviceFlags, WireguardMessage, WireguardPeer, WireguardPeerAttribute, WireguardPeerFlags,
};
use zeroize::Zeroize;

use crate::Request;
use crate::request::encode;
use carrick_types::{PublicKey, SecretKey};

/// At most this many bytes of peers go into one message.
const PEERS_LENGTH: usize = 32 * 1024;
/// At most this many allowed IPs go into one part of a peer: 12 KiB in IPv6.
const ALLOWED_IPS_PER_PART: usize = 256;

/// What to change on a device; `None` leaves a setting as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceChange {
    /// Its private key.
    pub private_key: Option<SecretKey>,
    /// UDP port on which it listens.
    pub port: Option<u16>,
    /// Firewall mark on its outer packets; 0 for none.
    pub firewall_mark: Option<u32>,
    /// What becomes of peers that [`Self::peers`] does not name.
    pub unnamed_peers: UnnamedPeers,
    /// Its peers, changed in this order.
    pub peers: Vec<PeerChange>,
}

/// What becomes of peers that a change does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnnamedPeers {
    /// They stay as they are.
    #[default]
    Keep,
    /// They are removed (`WGDEVICE_F_REPLACE_PEERS`).
    Remove,
}

/// What to change on a peer; `None` leaves a setting as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerChange {
    /// Who it is.
    pub public_key: PublicKey,
    /// Whether to make, keep or remove it.
    pub verb: PeerVerb,
    /// Where to send packets to it, from now on and until it is heard from elsewhere.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between keepalives; 0 turns them off.
    pub persistent_keepalive: Option<u16>,
    /// The preshared key.
    pub preshared_key: Preshared,
    /// Its allowed IPs.
    pub allowed_ips: AllowedIps,
}

/// What becomes of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerVerb {
    /// It is added if the device lacks it, and changed.
    Set,
    /// It is changed if it is there; if not, nothing happens.
    Update,
    /// It is removed.
    Remove,
}

/// What becomes of a peer's preshared key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preshared {
    /// It stays.
    Keep,
    /// It becomes this.
    Set(SecretKey),
    /// It is taken away.
    Clear,
}

/// What becomes of a peer's allowed IPs. One that is given to a peer leaves the peer that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedIps {
    /// They become exactly these.
    Replace(Vec<IpNet>),
    /// They change by these; none of them for no change.
    Change(Vec<AllowedIpChange>),
}

/// What becomes of one allowed IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedIpChange {
    /// The peer gets it.
    Add(IpNet),
    /// The peer loses it. Kernels before 6.16 refuse the whole message (`EINVAL`).
    Remove(IpNet),
}

impl PeerChange {
    /// A change that leaves everything as it is.
    #[must_use]
    pub fn new(public_key: PublicKey, verb: PeerVerb) -> Self {
        Self {
            public_key,
            verb,
            endpoint: None,
            persistent_keepalive: None,
            preshared_key: Preshared::Keep,
            allowed_ips: AllowedIps::Change(Vec::new()),
        }
    }
}

/// The messages that carry out a change, in order. `family` is the number of the generic netlink family.
#[must_use]
pub fn set(family: u16, device: &str, change: &DeviceChange) -> Vec<Request> {
    let mut messages = vec![device_attributes(device, change)];
    let mut peers: Vec<WireguardPeer> = Vec::new();
    let mut length = 0;
    for part in change.peers.iter().flat_map(parts) {
        let part_length = NLA_HEADER_SIZE + part.value_len().next_multiple_of(4);
        if length + part_length > PEERS_LENGTH {
            push_peers(&mut messages, &mut peers);
            messages.push(vec![WireguardAttribute::IfName(device.to_owned())]);
            length = 0;
        }
        length += part_length;
        peers.push(part);
    }
    push_peers(&mut messages, &mut peers);
    messages.into_iter().map(|attributes| request(family, device, attributes)).collect()
}

fn device_attributes(device: &str, change: &DeviceChange) -> Vec<WireguardAttribute> {
    let mut attributes = vec![WireguardAttribute::IfName(device.to_owned())];
    match change.unnamed_peers {
        UnnamedPeers::Keep => {}
        UnnamedPeers::Remove => attributes.push(WireguardAttribute::Flags(WireguardDeviceFlags::ReplacePeers)),
    }
    attributes.extend(change.private_key.as_ref().map(|key| WireguardAttribute::PrivateKey(*key.expose())));
    attributes.extend(change.port.map(WireguardAttribute::ListenPort));
    attributes.extend(change.firewall_mark.map(WireguardAttribute::Fwmark));
    attributes
}

fn push_peers(messages: &mut [Vec<WireguardAttribute>], peers: &mut Vec<WireguardPeer>) {
    if let (Some(message), false) = (messages.last_mut(), peers.is_empty()) {
        message.push(WireguardAttribute::Peers(std::mem::take(peers)));
    }
}

fn request(family: u16, device: &str, attributes: Vec<WireguardAttribute>) -> Request {
    let mut message = GenlMessage::from_payload(WireguardMessage { cmd: WireguardCmd::SetDevice, attributes });
    let payload = encode(&message);
    wipe(&mut message.payload.attributes);
    Request::write("change WireGuard device", device, family, 0, payload).secret()
}

/// The parts of one peer's change: settings and the first allowed IPs, then more allowed IPs.
fn parts(change: &PeerChange) -> Vec<WireguardPeer> {
    let allowed_ips: Vec<WireguardAllowedIp> = match &change.allowed_ips {
        AllowedIps::Replace(networks) => networks.iter().map(|network| allowed_ip(network, None)).collect(),
        AllowedIps::Change(changes) => changes.iter().map(changed_allowed_ip).collect(),
    };
    let mut chunks = allowed_ips.chunks(ALLOWED_IPS_PER_PART);
    let mut parts = vec![first_part(change, chunks.next().unwrap_or_default())];
    parts.extend(chunks.map(|chunk| {
        WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(change.public_key.0),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly),
            WireguardPeerAttribute::AllowedIps(chunk.to_vec()),
        ])
    }));
    parts
}

fn first_part(change: &PeerChange, allowed_ips: &[WireguardAllowedIp]) -> WireguardPeer {
    let mut flags = match change.verb {
        PeerVerb::Set => WireguardPeerFlags::empty(),
        PeerVerb::Update => WireguardPeerFlags::UpdateOnly,
        PeerVerb::Remove => WireguardPeerFlags::RemoveMe,
    };
    flags.set(WireguardPeerFlags::ReplaceAllowedIps, matches!(change.allowed_ips, AllowedIps::Replace(_)));
    let mut attributes = vec![WireguardPeerAttribute::PublicKey(change.public_key.0)];
    if !flags.is_empty() {
        attributes.push(WireguardPeerAttribute::Flags(flags));
    }
    match &change.preshared_key {
        Preshared::Keep => {}
        Preshared::Set(key) => attributes.push(WireguardPeerAttribute::PresharedKey(*key.expose())),
        Preshared::Clear => attributes.push(WireguardPeerAttribute::PresharedKey([0; 32])),
    }
    attributes.extend(change.endpoint.map(WireguardPeerAttribute::Endpoint));
    attributes.extend(change.persistent_keepalive.map(WireguardPeerAttribute::PersistentKeepalive));
    if !allowed_ips.is_empty() {
        attributes.push(WireguardPeerAttribute::AllowedIps(allowed_ips.to_vec()));
    }
    WireguardPeer(attributes)
}

fn changed_allowed_ip(change: &AllowedIpChange) -> WireguardAllowedIp {
    match change {
        AllowedIpChange::Add(network) => allowed_ip(network, None),
        AllowedIpChange::Remove(network) => allowed_ip(network, Some(WireguardAllowedIpFlags::RemoveMe)),
    }
}

fn allowed_ip(network: &IpNet, flags: Option<WireguardAllowedIpFlags>) -> WireguardAllowedIp {
    let family = match network {
        IpNet::V4(_) => WireguardAddressFamily::Ipv4,
        IpNet::V6(_) => WireguardAddressFamily::Ipv6,
    };
    let mut attributes = vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(network.addr()),
        WireguardAllowedIpAttr::Cidr(network.prefix_len()),
    ];
    attributes.extend(flags.map(WireguardAllowedIpAttr::Flags));
    WireguardAllowedIp(attributes)
}

fn wipe(attributes: &mut [WireguardAttribute]) {
    for attribute in attributes {
        match attribute {
            WireguardAttribute::PrivateKey(key) => key.zeroize(),
            WireguardAttribute::Peers(peers) => {
                for attribute in peers.iter_mut().flat_map(|peer| peer.0.iter_mut()) {
                    if let WireguardPeerAttribute::PresharedKey(key) = attribute {
                        key.zeroize();
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
