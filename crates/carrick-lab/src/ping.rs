//! ICMP echo (RFC 792, RFC 4443) from the calling thread's network namespace.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::namespace::Namespaces;

/// The size of the header before the payload (RFC 792).
const HEADER_BYTES: usize = 8;
/// The number of requests for a round-trip time.
const REQUESTS: u64 = 3;
/// The default payload of `ping`.
const PAYLOAD_BYTES: usize = 56;

/// The shortest timeout of a read: the kernel counts it in microseconds (`timeval`).
const LEAST_TIMEOUT: Duration = Duration::from_micros(1);

/// A socket for echo requests to one address. Several sockets can use the same address.
#[derive(Debug)]
pub struct Pinger {
    socket: Socket,
    target: IpAddr,
    identifier: u16,
    payload_bytes: usize,
}

impl Pinger {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// The caller is not root, or there is no route to the target.
    pub fn open(target: IpAddr) -> io::Result<Self> {
        static IDENTIFIERS: AtomicU16 = AtomicU16::new(1);
        let (domain, protocol) = match target {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
        socket.connect(&SocketAddr::new(target, 0).into())?;
        let identifier = IDENTIFIERS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { socket, target, identifier, payload_bytes: PAYLOAD_BYTES })
    }

    /// This socket with requests whose IP packets have this size.
    #[must_use]
    pub fn with_packets_of(self, ip_bytes: usize) -> Self {
        let headers = HEADER_BYTES + if self.target.is_ipv4() { 20 } else { 40 };
        Self { payload_bytes: ip_bytes.saturating_sub(headers).max(size_of::<u64>()), ..self }
    }

    /// Sends a request with a number.
    ///
    /// # Errors
    /// The kernel refuses, for instance because there is no route.
    pub fn send(&self, number: u64) -> io::Result<()> {
        self.socket.send(&self.request(number)).map(drop)
    }

    /// Waits for an answer and returns the number of its request; `None` if no answer comes before the deadline.
    ///
    /// # Errors
    /// The kernel reports an ICMP error for an earlier request, such as "unreachable".
    pub fn receive(&self, deadline: Instant) -> io::Result<Option<u64>> {
        let mut buffer = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            // A timeout of 0 means no timeout.
            self.socket.set_read_timeout(Some(left.max(LEAST_TIMEOUT)))?;
            match (&self.socket).read(&mut buffer) {
                Ok(length) => {
                    if let Some(number) = self.answer(&buffer[..length]) {
                        return Ok(Some(number));
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn request(&self, number: u64) -> Vec<u8> {
        let kind = match self.target {
            IpAddr::V4(_) => 8,
            IpAddr::V6(_) => 128,
        };
        let mut packet = vec![kind, 0, 0, 0];
        packet.extend(self.identifier.to_be_bytes());
        // The sequence number has the low bytes of the number.
        packet.extend(number.to_be_bytes().split_at(6).1);
        packet.extend(number.to_be_bytes());
        packet.resize(HEADER_BYTES + self.payload_bytes, 0);
        if self.target.is_ipv4() {
            // The kernel computes the checksum of ICMPv6 (RFC 3542, section 3.1).
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        packet
    }

    /// The number of the request that a received packet answers; `None` if the request is from another socket.
    fn answer(&self, packet: &[u8]) -> Option<u64> {
        let (kind, message) = match self.target {
            IpAddr::V4(_) => (0, packet.get(usize::from(packet.first()? & 0x0f) * 4..)?),
            IpAddr::V6(_) => (129, packet),
        };
        let identifier = message.get(4..6)?;
        let number = message.get(HEADER_BYTES..HEADER_BYTES + 8)?;
        (message[0] == kind && identifier == self.identifier.to_be_bytes())
            .then(|| number.try_into().ok().map(u64::from_be_bytes))?
    }
}

/// Sends requests until there is an answer or the timeout is over. Returns the round-trip time of the answered request.
///
/// # Errors
/// The namespace cannot be entered, or the caller is not root.
pub fn until_answered(from: &Namespaces, target: IpAddr, timeout: Duration) -> Result<Option<Duration>> {
    let pause = Duration::from_millis(200);
    from.enter(|| {
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            let next = (Instant::now() + pause).min(deadline);
            if let Some(time) = attempt(target, next)? {
                return Ok(Some(time));
            }
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(None)
    })
}

/// Sends one request. Returns the round-trip time if the answer comes before the timeout is over.
///
/// # Errors
/// The namespace cannot be entered, or the caller is not root.
pub fn once(from: &Namespaces, target: IpAddr, timeout: Duration) -> Result<Option<Duration>> {
    from.enter(|| attempt(target, Instant::now() + timeout))
}

/// Sends one request from a new socket. A socket keeps the source address of its first route, and conntrack keeps the translation: a socket
/// from before the mesh would never use the mesh.
fn attempt(target: IpAddr, deadline: Instant) -> Result<Option<Duration>> {
    let pinger = match Pinger::open(target) {
        Ok(pinger) => pinger,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(error).context("open a socket for pings");
        }
        Err(_no_route) => return Ok(None),
    };
    let sent = Instant::now();
    let answered = pinger.send(0).is_ok() && is_answered(&pinger, 0, deadline);
    Ok(answered.then(|| sent.elapsed()))
}

/// The shortest round-trip time of a few requests; `None` if there is no answer.
///
/// # Errors
/// The namespace cannot be entered, or there is no route.
pub fn round_trip(from: &Namespaces, target: IpAddr) -> Result<Option<Duration>> {
    from.enter(|| {
        let pinger = Pinger::open(target)?;
        let one = |number| {
            let sent = Instant::now();
            pinger.send(number).ok()?;
            is_answered(&pinger, number, sent + Duration::from_secs(1)).then(|| sent.elapsed())
        };
        Ok((1..=REQUESTS).filter_map(one).min())
    })
}

/// Whether the answer to a request arrives before the deadline. Other answers and ICMP errors are ignored.
fn is_answered(pinger: &Pinger, number: u64, deadline: Instant) -> bool {
    loop {
        match pinger.receive(deadline) {
            Ok(Some(answered)) if answered == number => return true,
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_reported) if Instant::now() >= deadline => return false,
            Err(_reported) => {}
        }
    }
}

/// The Internet checksum (RFC 1071) of an even number of bytes.
fn checksum(packet: &[u8]) -> u16 {
    let words = packet.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        // RFC 1071, section 3: the words 0001 f203 f4f5 f6f7 add up to ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
