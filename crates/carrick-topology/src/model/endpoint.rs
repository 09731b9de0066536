//! Endpoints: where WireGuard listens, as seen from other locations.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::constants::WIREGUARD_PORT;
use crate::model::Family;

/// The port of an endpoint that names none.
pub const DEFAULT_PORT: u16 = WIREGUARD_PORT;

/// A domain name (RFC 1123), lower case, without the trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DnsName(Arc<str>);

/// The host of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A domain name, which each node resolves at intervals.
    Name(DnsName),
}

/// `host:port`, `[v6]:port` or `dns.name:port`; the port defaults to [`DEFAULT_PORT`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// The address or the domain name.
    pub host: Host,
    /// UDP port, never 0.
    pub port: u16,
}

/// Text that is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("endpoint `{text}` {problem}; write `1.2.3.4:51820`, `[2001:db8::1]:51820` or `name.example:51820`")]
pub struct InvalidEndpoint {
    text: String,
    problem: &'static str,
}

impl DnsName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Endpoint {
    /// The endpoint at an address.
    #[must_use]
    pub const fn at(address: IpAddr, port: u16) -> Self {
        Self { host: Host::Address(address), port }
    }

    /// The address; `None` for a domain name.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Address(address) => Some(*address),
            Host::Name(_) => None,
        }
    }

    /// The family; `None` for a domain name, which may resolve to either.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        self.address().as_ref().map(Family::of)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::at(address.ip(), address.port())
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = |problem| InvalidEndpoint { text: text.to_owned(), problem };
        let (host, port) = split(text).ok_or_else(|| invalid("has an unclosed bracket"))?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| invalid("has a port that is not a number from 1 to 65535"))?,
        };
        let host = if let Ok(address) = host.parse::<IpAddr>() {
            if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
                return Err(invalid("has an address that no other node can reach"));
            }
            Host::Address(address)
        } else if text.starts_with('[') {
            return Err(invalid("has no IPv6 address between its brackets"));
        } else {
            Host::Name(dns_name(host).ok_or_else(|| invalid("has neither an address nor a domain name as host"))?)
        };
        Ok(Self { host, port })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: String) -> Result<Self, InvalidEndpoint> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(formatter, "{address}:{}", self.port),
            Host::Name(name) => write!(formatter, "{}:{}", name.as_str(), self.port),
        }
    }
}

/// Host and port; `None` if a bracket is not closed.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None if rest.is_empty() => Some((host, None)),
            None => None,
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    Some(text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))))
}

fn dns_name(text: &str) -> Option<DnsName> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label_is_valid = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let last_is_numeric = name.rsplit('.').next().is_none_or(|label| label.chars().all(|c| c.is_ascii_digit()));
    (name.len() <= 253 && !last_is_numeric && name.split('.').all(label_is_valid)).then(|| DnsName(Arc::from(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_parsed_and_displayed() {
        for (text, canonical) in [
            ("1.2.3.4", "1.2.3.4:51820"),
            ("1.2.3.4:99", "1.2.3.4:99"),
            ("2001:db8::1", "[2001:db8::1]:51820"),
            ("[2001:db8::1]", "[2001:db8::1]:51820"),
            ("[2001:db8::1]:7", "[2001:db8::1]:7"),
            ("Gate.Example.", "gate.example:51820"),
            ("gate.example:1", "gate.example:1"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn text_that_is_not_an_endpoint_gives_an_error_with_the_reason() {
        for (text, word) in [
            ("", "domain name"),
            ("1.2.3.4:0", "port"),
            ("1.2.3.4:70000", "port"),
            ("[2001:db8::1", "bracket"),
            ("[gate.example]:5", "brackets"),
            ("1.2.3", "domain name"),
            ("a b:5", "domain name"),
            ("0.0.0.0:5", "reach"),
            ("127.0.0.1", "reach"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
