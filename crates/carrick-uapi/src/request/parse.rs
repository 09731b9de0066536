//! A request from its text.

use std::str::FromStr;

use carrick_netlink::wireguard::{
    AllowedIpChange, AllowedIps, DeviceChange, PeerChange, PeerVerb, Preshared, PublicKey, SecretKey, UnnamedPeers,
};
use ipnet::IpNet;

use super::{ProtocolError, Request};
use crate::key_text::parse_key;

/// Parses the lines of one request. The empty line that ends a request may be there or not.
///
/// # Errors
/// [`ProtocolError`] for the first line that is wrong.
pub fn parse_request(request: &str) -> Result<Request, ProtocolError> {
    let mut lines = request.lines().zip(1..).take_while(|(text, _)| !text.is_empty());
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

/// The part of a `set` that was read so far.
#[derive(Default)]
struct SetParser {
    change: DeviceChange,
    peer: Option<PeerSection>,
}

/// The peer whose lines are being read.
struct PeerSection {
    change: PeerChange,
    presence: ListedAllowedIps,
    /// In the order of their lines.
    allowed_ips: Vec<AllowedIpChange>,
}

/// What happens to the allowed IPs that the peer has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ListedAllowedIps {
    Keep,
    Replace,
}

/// One `key=value` line.
struct Entry<'a> {
    number: usize,
    key: &'a str,
    value: &'a str,
}

impl SetParser {
    fn line(&mut self, text: &str, number: usize) -> Result<(), ProtocolError> {
        let (key, value) = text.split_once('=').ok_or(ProtocolError::NotKeyValue { line: number })?;
        let entry = Entry { number, key, value };
        if key == "public_key" {
            let public_key = PublicKey(*parse_key(value).ok_or_else(|| entry.invalid())?);
            self.close_peer();
            self.peer = Some(PeerSection::new(public_key));
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
        self.change.peers.extend(self.peer.take().into_iter().flat_map(PeerSection::finish));
    }
}

impl PeerSection {
    fn new(public_key: PublicKey) -> Self {
        Self {
            change: PeerChange::new(public_key, PeerVerb::Set),
            presence: ListedAllowedIps::Keep,
            allowed_ips: Vec::new(),
        }
    }

    fn line(&mut self, entry: &Entry<'_>) -> Result<(), ProtocolError> {
        let change = &mut self.change;
        match entry.key {
            "remove" => {
                entry.expect("true")?;
                change.verb = PeerVerb::Remove;
            }
            "update_only" => {
                entry.expect("true")?;
                if change.verb == PeerVerb::Set {
                    change.verb = PeerVerb::Update;
                }
            }
            "preshared_key" => {
                let key = entry.secret()?;
                change.preshared_key = if key.is_zero() { Preshared::Clear } else { Preshared::Set(key) };
            }
            "endpoint" => change.endpoint = Some(entry.parse()?),
            "persistent_keepalive_interval" => change.persistent_keepalive = Some(entry.parse()?),
            "replace_allowed_ips" => {
                entry.expect("true")?;
                self.presence = ListedAllowedIps::Replace;
                self.allowed_ips.clear();
            }
            "allowed_ip" => self.allowed_ips.push(entry.allowed_ip()?),
            "protocol_version" => entry.expect("1")?,
            _ => return Err(entry.unknown()),
        }
        Ok(())
    }

    /// The changes of the peer: one, or two where a replaced list loses an address again by a later line.
    fn finish(self) -> Vec<PeerChange> {
        let Self { change, presence, allowed_ips } = self;
        if presence == ListedAllowedIps::Keep {
            return vec![PeerChange { allowed_ips: AllowedIps::Change(allowed_ips), ..change }];
        }
        let added = |change: &AllowedIpChange| match change {
            AllowedIpChange::Add(network) => Some(*network),
            AllowedIpChange::Remove(_) => None,
        };
        let list: Vec<IpNet> = allowed_ips.iter().map_while(added).collect();
        let rest = allowed_ips[list.len()..].to_vec();
        let later = PeerChange {
            allowed_ips: AllowedIps::Change(rest.clone()),
            ..PeerChange::new(change.public_key, PeerVerb::Update)
        };
        let first = PeerChange { allowed_ips: AllowedIps::Replace(list), ..change };
        if rest.is_empty() { vec![first] } else { vec![first, later] }
    }
}

fn device_line(change: &mut DeviceChange, entry: &Entry<'_>) -> Result<(), ProtocolError> {
    match entry.key {
        "private_key" => change.private_key = Some(entry.secret()?),
        "listen_port" => change.port = Some(entry.parse()?),
        "fwmark" => change.firewall_mark = Some(entry.parse()?),
        "replace_peers" => {
            entry.expect("true")?;
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

    fn secret(&self) -> Result<SecretKey, ProtocolError> {
        parse_key(self.value).map(|bytes| SecretKey::new(*bytes)).ok_or_else(|| self.invalid())
    }

    fn allowed_ip(&self) -> Result<AllowedIpChange, ProtocolError> {
        let network = |text: &str| text.parse::<IpNet>().map_err(|_| self.invalid());
        match self.value.strip_prefix('-') {
            Some(text) => network(text).map(AllowedIpChange::Remove),
            None => network(self.value).map(AllowedIpChange::Add),
        }
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
