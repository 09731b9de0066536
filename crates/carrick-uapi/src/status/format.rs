//! A device's status as text.

use carrick_netlink::wireguard::{Device, Peer};
use zeroize::Zeroizing;

use crate::key_text::push_key;
use crate::push_line;

/// The status as lines, without the `errno` line. The text holds keys and is wiped on drop.
#[must_use]
pub fn format_status(device: &Device) -> Zeroizing<String> {
    // A text that grows would leave a copy of its keys in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(capacity(device)));
    if let Some(key) = &device.private_key {
        push_key(&mut text, "private_key", key.expose());
    }
    push_line(&mut text, "listen_port", device.port);
    if device.firewall_mark != 0 {
        push_line(&mut text, "fwmark", device.firewall_mark);
    }
    for peer in &device.peers {
        format_peer(&mut text, peer);
    }
    text
}

/// The end of an answer: the error number, 0 for success, and the empty line.
#[must_use]
pub fn format_error(errno: i32) -> String {
    format!("errno={errno}\n\n")
}

fn format_peer(text: &mut String, peer: &Peer) {
    push_key(text, "public_key", &peer.public_key.0);
    if let Some(key) = &peer.preshared_key {
        push_key(text, "preshared_key", key.expose());
    }
    push_line(text, "protocol_version", 1);
    if let Some(endpoint) = peer.endpoint {
        push_line(text, "endpoint", endpoint);
    }
    let handshake = peer.last_handshake.unwrap_or_default();
    push_line(text, "last_handshake_time_sec", handshake.as_secs());
    push_line(text, "last_handshake_time_nsec", handshake.subsec_nanos());
    push_line(text, "tx_bytes", peer.sent_bytes);
    push_line(text, "rx_bytes", peer.received_bytes);
    push_line(text, "persistent_keepalive_interval", peer.persistent_keepalive.unwrap_or(0));
    for network in &peer.allowed_ips {
        push_line(text, "allowed_ip", network);
    }
}

/// Room for the longest text that a status can become, in bytes.
pub(crate) fn capacity(device: &Device) -> usize {
    const DEVICE: usize = 256;
    const PEER: usize = 640;
    const ALLOWED_IP: usize = 64;
    DEVICE + device.peers.iter().map(|peer| PEER + ALLOWED_IP * peer.allowed_ips.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carrick_netlink::wireguard::{PublicKey, SecretKey};

    use super::*;

    #[test]
    fn a_status_fits_into_the_room_that_is_reserved_for_it() {
        let peer = Peer {
            public_key: PublicKey([0xff; 32]),
            preshared_key: Some(SecretKey::new([0xff; 32])),
            endpoint: Some("[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:51820".parse().unwrap()),
            persistent_keepalive: Some(u16::MAX),
            last_handshake: Some(Duration::new(u64::MAX, 999_999_999)),
            received_bytes: u64::MAX,
            sent_bytes: u64::MAX,
            allowed_ips: vec!["2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff/128".parse().unwrap(); 100],
        };
        let device = Device {
            private_key: Some(SecretKey::new([0xff; 32])),
            public_key: None,
            port: u16::MAX,
            firewall_mark: u32::MAX,
            peers: vec![peer; 20],
        };
        let text = format_status(&device);
        assert!(text.len() <= capacity(&device), "{}", text.len());
    }
}
