//! A device's status from its text.

use std::str::FromStr;
use std::time::Duration;

use carrick_netlink::wireguard::{Device, Peer, PublicKey, SecretKey};

use crate::key_text::parse_key;

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

/// A line that cannot be read. The error names the key and never the value, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the value of `{key}` cannot be read")]
pub struct MalformedStatus {
    key: String,
}

/// Reads the answer to [`crate::GET`]. Unknown keys are ignored, as the protocol asks.
///
/// # Errors
///
/// [`MalformedStatus`] for the first value that cannot be read.
pub fn read_status(answer: &str) -> Result<Device, MalformedStatus> {
    let mut device = Device { private_key: None, public_key: None, port: 0, firewall_mark: 0, peers: Vec::new() };
    for line in answer.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        match (key, device.peers.last_mut()) {
            ("public_key", _) => device.peers.push(Peer::new(PublicKey(bytes(key, value)?))),
            ("private_key", _) => device.private_key = secret(key, value)?,
            ("listen_port", _) => device.port = parsed(key, value)?,
            ("fwmark", _) => device.firewall_mark = parsed(key, value)?,
            (_, Some(peer)) => read_peer(peer, key, value)?,
            (_, None) => {}
        }
    }
    Ok(device)
}

fn read_peer(peer: &mut Peer, key: &str, value: &str) -> Result<(), MalformedStatus> {
    match key {
        "preshared_key" => peer.preshared_key = secret(key, value)?,
        "endpoint" => peer.endpoint = Some(parsed(key, value)?),
        "persistent_keepalive_interval" => {
            peer.persistent_keepalive = Some(parsed(key, value)?).filter(|seconds| *seconds != 0);
        }
        "last_handshake_time_sec" => {
            let nanoseconds = peer.last_handshake.unwrap_or_default().subsec_nanos();
            peer.last_handshake = handshake(parsed(key, value)?, nanoseconds);
        }
        "last_handshake_time_nsec" => {
            let seconds = peer.last_handshake.unwrap_or_default().as_secs();
            let nanoseconds = Some(parsed(key, value)?).filter(|nanoseconds| *nanoseconds < NANOSECONDS_PER_SECOND);
            peer.last_handshake = handshake(seconds, nanoseconds.ok_or_else(|| malformed(key))?);
        }
        "rx_bytes" => peer.received_bytes = parsed(key, value)?,
        "tx_bytes" => peer.sent_bytes = parsed(key, value)?,
        "allowed_ip" => peer.allowed_ips.push(parsed(key, value)?),
        _ => {}
    }
    Ok(())
}

/// Zero means that there was none. The nanoseconds are less than a second, so the sum does not overflow.
fn handshake(seconds: u64, nanoseconds: u32) -> Option<Duration> {
    Some(Duration::new(seconds, nanoseconds)).filter(|time| !time.is_zero())
}

/// All zeros mean that there is none.
fn secret(key: &str, value: &str) -> Result<Option<SecretKey>, MalformedStatus> {
    Ok(Some(SecretKey::new(bytes(key, value)?)).filter(|key| !key.is_zero()))
}

fn bytes(key: &str, value: &str) -> Result<[u8; 32], MalformedStatus> {
    parse_key(value).map(|bytes| *bytes).ok_or_else(|| malformed(key))
}

fn parsed<T: FromStr>(key: &str, value: &str) -> Result<T, MalformedStatus> {
    value.parse().map_err(|_| malformed(key))
}

fn malformed(key: &str) -> MalformedStatus {
    MalformedStatus { key: key.to_owned() }
}
