//! Changes as text.

use std::fmt::Write as _;

use carrick_netlink::wireguard::{AllowedIpChange, AllowedIps, DeviceChange, PeerChange, PeerVerb, Preshared};
use zeroize::Zeroizing;

/// The request that carries out a change. It holds keys, so it is wiped when dropped.
#[must_use]
pub fn write(change: &DeviceChange) -> Zeroizing<String> {
    // Never grown, so that no copy of a key stays behind in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(capacity(change)));
    text.push_str("set=1\n");
    if let Some(key) = &change.private_key {
        hexadecimal(&mut text, "private_key", key.expose());
    }
    if let Some(port) = change.port {
        line(&mut text, "listen_port", port);
    }
    if let Some(mark) = change.firewall_mark {
        line(&mut text, "fwmark", mark);
    }
    for peer in &change.peers {
        write_peer(&mut text, peer);
    }
    text.push('\n');
    text
}

fn write_peer(text: &mut String, peer: &PeerChange) {
    hexadecimal(text, "public_key", &peer.public_key.0);
    match peer.verb {
        PeerVerb::Set => {}
        PeerVerb::Update => line(text, "update_only", true),
        PeerVerb::Remove => return line(text, "remove", true),
    }
    match &peer.preshared_key {
        Preshared::Keep => {}
        Preshared::Set(key) => hexadecimal(text, "preshared_key", key.expose()),
        Preshared::Clear => hexadecimal(text, "preshared_key", &[0; 32]),
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

fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{key}={value}");
}

fn hexadecimal(text: &mut String, key: &str, bytes: &[u8; 32]) {
    text.push_str(key);
    text.push('=');
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
}

pub(super) fn capacity(change: &DeviceChange) -> usize {
    const DEVICE: usize = 256;
    const PEER: usize = 512;
    const ALLOWED_IP: usize = 64;
    let allowed_ips = |peer: &PeerChange| match &peer.allowed_ips {
        AllowedIps::Replace(networks) => networks.len(),
        AllowedIps::Change(changes) => changes.len(),
    };
    DEVICE + change.peers.iter().map(|peer| PEER + ALLOWED_IP * allowed_ips(peer)).sum::<usize>()
}
