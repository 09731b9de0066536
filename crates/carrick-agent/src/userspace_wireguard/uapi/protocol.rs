//! The words of the protocol: from lines to a [`DeviceChange`], and from a [`DeviceStatus`] to lines.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::UNIX_EPOCH;

use ipnet::IpNet;
use nix::errno::Errno;
use zeroize::Zeroizing;

use carrick_topology::PublicKey;

use super::hex;
use crate::key::SecretKey;
use crate::userspace_wireguard::configuration::{
    AbsentPeer, AllowedIpChange, DeviceChange, DeviceStatus, PeerChange, PeerStatus, PeerUpdate, PresentAllowedIps,
    Setting, UnnamedPeers,
};

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// The device's status.
    Get,
    /// A change of the device.
    Set(Box<DeviceChange>),
}

/// A request that is not in the protocol. It names the key only: the value may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The first line is neither `get=1` nor `set=1`.
    #[error("a request must begin with get=1 or set=1")]
    UnknownOperation,
    /// A line without `=`.
    #[error("line {line} is not of the form key=value")]
    NotKeyValue {
        /// Its number, the first line being 1.
        line: usize,
    },
    /// A key that the protocol does not have, or not at this place.
    #[error("line {line}: key {key:?} is unknown or out of place")]
    UnknownKey {
        /// Its number, the first line being 1.
        line: usize,
        /// The key as it was sent.
        key: String,
    },
    /// A value that does not fit its key.
    #[error("line {line}: the value of {key} is not valid")]
    InvalidValue {
        /// Its number, the first line being 1.
        line: usize,
        /// The key as it was sent.
        key: String,
    },
}

impl ProtocolError {
    /// The error number to answer with.
    pub fn errno(&self) -> Errno {
        match self {
            Self::UnknownOperation | Self::NotKeyValue { .. } => Errno::EPROTO,
            Self::UnknownKey { .. } | Self::InvalidValue { .. } => Errno::EINVAL,
        }
    }
}

/// Parses the lines of one request, without the blank line that ends it.
///
/// # Errors
/// [`ProtocolError`] for the first line that is wrong.
pub fn parse(request: &str) -> Result<Request, ProtocolError> {
    let mut lines = request.lines().zip(1..);
    match lines.next() {
        Some(("get=1", _)) => Ok(Request::Get),
        Some(("set=1", _)) => {
            let mut parser = SetParser::default();
            for (text, number) in lines {
                parser.line(text, number)?;
            }
            Ok(Request::Set(Box::new(parser.finish())))
        }
        Some(_) | None => Err(ProtocolError::UnknownOperation),
    }
}

/// The status as lines, each ended, without the `errno` line. It holds the private key.
pub fn format_status(status: &DeviceStatus) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    if let Some(key) = &status.private_key {
        line(&mut text, "private_key", hex::encode(key.as_bytes()).as_str());
    }
    line(&mut text, "listen_port", status.listen_port);
    if status.firewall_mark != 0 {
        line(&mut text, "fwmark", status.firewall_mark);
    }
    for peer in &status.peers {
        format_peer(&mut text, peer);
    }
    text
}

fn format_peer(text: &mut String, peer: &PeerStatus) {
    line(text, "public_key", hex::encode(peer.public_key.as_bytes()).as_str());
    if let Some(key) = &peer.preshared_key {
        line(text, "preshared_key", hex::encode(key.as_bytes()).as_str());
    }
    line(text, "protocol_version", 1);
    if let Some(endpoint) = peer.endpoint {
        line(text, "endpoint", endpoint);
    }
    let handshake = peer.last_handshake.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    line(text, "last_handshake_time_sec", handshake.as_secs());
    line(text, "last_handshake_time_nsec", handshake.subsec_nanos());
    line(text, "tx_bytes", peer.sent_bytes);
    line(text, "rx_bytes", peer.received_bytes);
    line(text, "persistent_keepalive_interval", peer.persistent_keepalive);
    for network in &peer.allowed_ips {
        line(text, "allowed_ip", network);
    }
}

fn line(text: &mut String, key: &str, value: impl std::fmt::Display) {
    // Writing into a string cannot fail.
    let _ = writeln!(text, "{key}={value}");
}

/// The part of a `set` that was read so far.
#[derive(Default)]
struct SetParser {
    change: DeviceChange,
    peer: Option<PeerSection>,
}

/// The peer whose lines are being read.
struct PeerSection {
    update: PeerUpdate,
    removal: bool,
}

/// One `key=value` line.
struct Entry<'a> {
    number: usize,
    key: &'a str,
    value: &'a str,
}

fn public_key(text: &str) -> Option<PublicKey> {
    hex::decode(text).map(|bytes| PublicKey::from_bytes(*bytes))
}

impl SetParser {
    fn line(&mut self, text: &str, number: usize) -> Result<(), ProtocolError> {
        let (key, value) = text.split_once('=').ok_or(ProtocolError::NotKeyValue { line: number })?;
        let entry = Entry { number, key, value };
        if key == "public_key" {
            let public_key = public_key(value).ok_or_else(|| entry.invalid())?;
            self.close_peer();
            self.peer = Some(PeerSection { update: PeerUpdate::new(public_key), removal: false });
            return Ok(());
        }
        match &mut self.peer {
            Some(peer) => peer.line(&entry)?,
            None => device_line(&mut self.change, &entry)?,
        }
        Ok(())
    }

    fn finish(mut self) -> DeviceChange {
        self.close_peer();
        self.change
    }

    fn close_peer(&mut self) {
        let Some(section) = self.peer.take() else {
            return;
        };
        self.change.peers.push(if section.removal {
            PeerChange::Remove(section.update.public_key)
        } else {
            PeerChange::Update(section.update)
        });
    }
}

impl PeerSection {
    fn line(&mut self, entry: &Entry<'_>) -> Result<(), ProtocolError> {
        let update = &mut self.update;
        match entry.key {
            "remove" => {
                entry.expect_true()?;
                self.removal = true;
            }
            "update_only" => {
                entry.expect_true()?;
                update.absent_peer = AbsentPeer::Skip;
            }
            "preshared_key" => update.preshared_key = entry.secret()?,
            "endpoint" => update.endpoint = Some(entry.parse()?),
            "persistent_keepalive_interval" => update.persistent_keepalive = Some(entry.parse()?),
            "replace_allowed_ips" => {
                entry.expect_true()?;
                update.present_allowed_ips = PresentAllowedIps::Drop;
                update.allowed_ips.clear();
            }
            "allowed_ip" => update.allowed_ips.push(entry.allowed_ip()?),
            "protocol_version" => entry.expect("1")?,
            _ => return Err(entry.unknown()),
        }
        Ok(())
    }
}

fn device_line(change: &mut DeviceChange, entry: &Entry<'_>) -> Result<(), ProtocolError> {
    match entry.key {
        "private_key" => change.private_key = entry.secret()?,
        "listen_port" => change.listen_port = Some(entry.parse()?),
        "fwmark" => change.firewall_mark = Some(entry.parse()?),
        "replace_peers" => {
            entry.expect_true()?;
            change.unnamed_peers = UnnamedPeers::Remove;
        }
        _ => return Err(entry.unknown()),
    }
    Ok(())
}

impl Entry<'_> {
    fn parse<T: FromStr>(&self) -> Result<T, ProtocolError> {
        self.value.parse().map_err(|_| self.invalid())
    }

    fn secret(&self) -> Result<Setting<SecretKey>, ProtocolError> {
        let secret = SecretKey::from_bytes(*hex::decode(self.value).ok_or_else(|| self.invalid())?);
        Ok(if secret.is_zero() { Setting::Clear } else { Setting::Set(secret) })
    }

    fn allowed_ip(&self) -> Result<AllowedIpChange, ProtocolError> {
        let network = |text: &str| text.parse::<IpNet>().map_err(|_| self.invalid());
        match self.value.strip_prefix('-') {
            Some(text) => network(text).map(AllowedIpChange::Remove),
            None => network(self.value).map(AllowedIpChange::Add),
        }
    }

    fn expect_true(&self) -> Result<(), ProtocolError> {
        self.expect("true")
    }

    fn expect(&self, value: &str) -> Result<(), ProtocolError> {
        if self.value == value { Ok(()) } else { Err(self.invalid()) }
    }

    fn invalid(&self) -> ProtocolError {
        ProtocolError::InvalidValue { line: self.number, key: self.key.to_owned() }
    }

    fn unknown(&self) -> ProtocolError {
        ProtocolError::UnknownKey { line: self.number, key: self.key.to_owned() }
    }
}

#[cfg(test)]
mod tests;
