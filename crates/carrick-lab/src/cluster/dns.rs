//! A DNS query (RFC 1035) from the calling thread's network namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::address::Family;

/// How long to wait for an answer before the query is repeated.
const TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 5;
/// RFC 1035, section 4.1.1.
const HEADER_BYTES: usize = 12;
const IDENTIFIER: u16 = 0x6372;
const CLASS_INTERNET: u16 = 1;

/// The first address of a name in a family.
///
/// # Errors
/// The server does not answer, or the name has no such address.
pub fn resolve(server: IpAddr, name: &str, family: Family) -> Result<IpAddr> {
    let server = SocketAddr::new(server, 53);
    let unspecified = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let mut buffer = [0; 1500];
    for _ in 0..ATTEMPTS {
        let socket = UdpSocket::bind((unspecified, 0)).context("open a socket for DNS")?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.connect(server).with_context(|| format!("reach {server}"))?;
        socket.send(&query(name, family)).with_context(|| format!("ask {server}"))?;
        if let Ok(length) = socket.recv(&mut buffer) {
            return answer(&buffer[..length], family).with_context(|| format!("resolve {name} at {server}"));
        }
    }
    anyhow::bail!("{server} does not answer the query for {name}")
}

/// RFC 1035, section 3.2.2; RFC 3596, section 2.1.
const fn record_type(family: Family) -> u16 {
    match family {
        Family::V4 => 1,
        Family::V6 => 28,
    }
}

fn query(name: &str, family: Family) -> Vec<u8> {
    let mut packet = Vec::new();
    // Recursion desired; one question.
    for word in [IDENTIFIER, 0x0100, 1, 0, 0, 0] {
        packet.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap_or_default());
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(record_type(family).to_be_bytes());
    packet.extend(CLASS_INTERNET.to_be_bytes());
    packet
}

fn answer(packet: &[u8], family: Family) -> Result<IpAddr> {
    let code = packet.get(3).context("the answer is too short")? & 0x0f;
    ensure!(code == 0, "the answer is error {code}");
    let count = word(packet, 6).context("the answer is too short")?;
    let mut at = after_name(packet, HEADER_BYTES).context("the query is cut off")? + 4;
    for _ in 0..count {
        at = after_name(packet, at).context("an answer is cut off")?;
        let (kind, length) = word(packet, at).zip(word(packet, at + 8)).context("an answer is cut off")?;
        let data = packet.get(at + 10..at + 10 + usize::from(length)).context("an answer is cut off")?;
        if kind == record_type(family) {
            let v4 = <[u8; 4]>::try_from(data).map(IpAddr::from);
            return v4
                .or_else(|_| <[u8; 16]>::try_from(data).map(IpAddr::from))
                .context("an address of unknown length");
        }
        at += 10 + usize::from(length);
    }
    anyhow::bail!("the name has no address of {family}")
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

/// The position after a name. A name ends at a zero byte, or with a pointer to an earlier name (RFC 1035, section 4.1.4).
fn after_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_with_a_compressed_name_is_parsed() {
        let mut packet = query("echo.default", Family::V6);
        packet[7] = 1;
        packet.extend([0xc0, 0x0c]);
        packet.extend([0, 28, 0, 1, 0, 0, 0, 5, 0, 16]);
        packet.extend("fd96::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(answer(&packet, Family::V6).unwrap(), "fd96::7".parse::<IpAddr>().unwrap());
        assert!(answer(&packet, Family::V4).is_err());
        assert!(answer(&packet[..packet.len() - 1], Family::V6).is_err());
    }

    #[test]
    fn an_error_code_is_an_error() {
        let mut packet = query("missing.default", Family::V4);
        packet[3] = 3;
        assert!(format!("{:#}", answer(&packet, Family::V4).unwrap_err()).contains("error 3"));
    }
}
