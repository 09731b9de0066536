//! What the client asks for.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use super::MAXIMUM_BYTES;

/// A target of the client: `NAME=tcp4://HOST:PORT/BYTES`, `NAME=udp6://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name of the target in the report.
    pub name: String,
    /// Host and port. The host is an address, in brackets if it is an IPv6 address, or a name.
    pub host: String,
    /// Whether the client connects over IPv6.
    pub is_v6: bool,
    /// What the client asks for.
    pub question: Question,
}

/// What the client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// So many bytes over TCP.
    Bytes(u32),
    /// A datagram, as large as the network device permits.
    LargestDatagram,
}

/// The text is no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no target; write NAME=tcp4://HOST:PORT/BYTES or NAME=udp6://HOST:PORT")]
pub struct InvalidTarget(String);

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        Self::parse(text).ok_or_else(|| InvalidTarget(text.to_owned()))
    }
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let (name, url) = text.split_once('=')?;
        let (protocol, rest) = url.split_once("://")?;
        let (protocol, is_v6) = match protocol.split_at_checked(3)? {
            (protocol, "4") => (protocol, false),
            (protocol, "6") => (protocol, true),
            _ => return None,
        };
        let (host, question) = match (protocol, rest.split_once('/')) {
            ("tcp", Some((host, bytes))) => {
                let bytes = bytes.parse().ok().filter(|bytes| *bytes <= MAXIMUM_BYTES)?;
                (host, Question::Bytes(bytes))
            }
            ("udp", None) => (rest, Question::LargestDatagram),
            _ => return None,
        };
        let (_, port) = host.rsplit_once(':')?;
        port.parse::<u16>().ok()?;
        Some(Self { name: name.to_owned(), host: host.to_owned(), is_v6, question })
    }

    /// The address of the target in its family. Asks the resolver if the host is a name.
    ///
    /// # Errors
    /// The name cannot be resolved, or has no address of the family; for people.
    pub(super) fn address(&self) -> Result<SocketAddr, String> {
        let mut found =
            self.host.to_socket_addrs().map_err(|error| format!("cannot resolve {}: {error}", self.host))?;
        let is_of_family = |address: &SocketAddr| matches!(address.ip(), IpAddr::V6(_)) == self.is_v6;
        let family = if self.is_v6 { "IPv6" } else { "IPv4" };
        found.find(is_of_family).ok_or_else(|| format!("{} has no {family} address", self.host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_both_protocols_and_families_are_read() {
        let target: Target = "pod=tcp6://[fd42::1]:8080/1000".parse().unwrap();
        assert_eq!((target.name.as_str(), target.host.as_str(), target.is_v6), ("pod", "[fd42::1]:8080", true));
        assert_eq!(target.question, Question::Bytes(1000));
        assert_eq!(target.address().unwrap(), "[fd42::1]:8080".parse().unwrap());
        let target: Target = "largest=udp4://10.42.0.2:8080".parse().unwrap();
        assert_eq!((target.question, target.is_v6), (Question::LargestDatagram, false));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "pod",
            "pod=tcp4://10.42.0.2:8080",
            "pod=tcp5://10.42.0.2:8080/1",
            "pod=udp4://10.42.0.2:8080/1",
            "pod=tcp4://10.42.0.2/1",
            "pod=tcp4://10.42.0.2:http/1",
            "pod=tcp4://10.42.0.2:8080/4294967295",
            "pod=sctp4://10.42.0.2:8080/1",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_of_the_other_family_is_no_answer() {
        let target: Target = "pod=tcp6://127.0.0.1:8080/1".parse().unwrap();
        assert!(target.address().unwrap_err().contains("no IPv6 address"));
    }
}
