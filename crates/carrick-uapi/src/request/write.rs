//! A change as text.

use carrick_netlink::wireguard::{
    AllowedIpChange, AllowedIps, DeviceChange, PeerChange, PeerVerb, Preshared, UnnamedPeers,
};
use zeroize::Zeroizing;

use crate::key_text::push_key;
use crate::push_line as line;

/// The request that carries out a change. The text holds keys and is wiped on drop.
#[must_use]
pub fn write_request(change: &DeviceChange) -> Zeroizing<String> {
    // A text that grows would leave a copy of its keys in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(capacity(change)));
    text.push_str("set=1\n");
    if let Some(key) = &change.private_key {
        push_key(&mut text, "private_key", key.expose());
    }
    if let Some(port) = change.port {
        line(&mut text, "listen_port", port);
    }
    if let Some(mark) = change.firewall_mark {
        line(&mut text, "fwmark", mark);
    }
    match change.unnamed_peers {
        UnnamedPeers::Keep => {}
        UnnamedPeers::Remove => line(&mut text, "replace_peers", true),
    }
    for peer in &change.peers {
        write_peer(&mut text, peer);
    }
    text.push('\n');
    text
}

fn write_peer(text: &mut String, peer: &PeerChange) {
    push_key(text, "public_key", &peer.public_key.0);
    match peer.verb {
        PeerVerb::Set => {}
        PeerVerb::Update => line(text, "update_only", true),
        PeerVerb::Remove => return line(text, "remove", true),
    }
    match &peer.preshared_key {
        Preshared::Keep => {}
        Preshared::Set(key) => push_key(text, "preshared_key", key.expose()),
        Preshared::Clear => push_key(text, "preshared_key", &[0; 32]),
    }
    if let Some(endpoint) = peer.endpoint {
        line(text, "endpoint", endpoint);
    }
    if let Some(seconds) = peer.persistent_keepalive {
        line(text, "persistent_keepalive_interval", seconds);
    }
    match &peer.allowed_ips {
        AllowedIps::Replace(networks) => {
            line(text, "replace_allowed_ips", true);
            networks.iter().for_each(|network| line(text, "allowed_ip", network));
        }
        AllowedIps::Change(changes) => changes.iter().for_each(|change| match change {
            AllowedIpChange::Add(network) => line(text, "allowed_ip", network),
            AllowedIpChange::Remove(network) => line(text, "allowed_ip", format_args!("-{network}")),
        }),
    }
}

/// Room for the longest text that a change can become, in bytes.
pub(crate) fn capacity(change: &DeviceChange) -> usize {
    const DEVICE: usize = 256;
    const PEER: usize = 512;
    const ALLOWED_IP: usize = 64;
    let allowed_ips = |peer: &PeerChange| match &peer.allowed_ips {
        AllowedIps::Replace(networks) => networks.len(),
        AllowedIps::Change(changes) => changes.len(),
    };
    DEVICE + change.peers.iter().map(|peer| PEER + ALLOWED_IP * allowed_ips(peer)).sum::<usize>()
}
