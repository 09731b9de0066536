//! ICMP errors about sent datagrams, from the error queue of a UDP socket (ip(7), `IP_RECVERR`).

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

/// ICMP: destination unreachable, and of its codes port unreachable; time exceeded (RFC 792).
const V4_UNREACHABLE: u8 = 3;
const V4_PORT: u8 = 3;
const V4_TIME_EXCEEDED: u8 = 11;
/// ICMPv6: destination unreachable, and of its codes port unreachable; time exceeded (RFC 4443).
const V6_UNREACHABLE: u8 = 1;
const V6_PORT: u8 = 4;
const V6_TIME_EXCEEDED: u8 = 3;

/// What an ICMP error says about a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IcmpError {
    /// The destination of the datagram.
    pub(super) to: SocketAddr,
    /// The router or host that sent the error.
    pub(super) by: IpAddr,
    /// The kind of the error.
    pub(super) said: Said,
}

/// The kind of an ICMP error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The datagram had no hop left.
    HopLimitReached,
    /// The destination exists, and no process listens on its port.
    PortClosed,
    /// The datagram cannot be forwarded.
    Unreachable,
}

/// The next that waits at a socket which asked for them. It never blocks.
pub(super) fn next_icmp_error(socket: &UdpSocket) -> Option<IcmpError> {
    next_icmp_error_with_quote(socket, &mut [0; 64]).map(|(error, _)| error)
}

/// The same, with what it quotes of the datagram's own bytes, as far as they fit: the number of bytes that are in `quote`.
pub(super) fn next_icmp_error_with_quote(socket: &UdpSocket, quote: &mut [u8]) -> Option<(IcmpError, usize)> {
    loop {
        let mut iov = [IoSliceMut::new(&mut *quote)];
        let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut iov, Some(&mut space), flags).ok()?;
        let to = message.address.as_ref().and_then(address_of);
        let said = message.cmsgs().ok().and_then(|mut messages| messages.find_map(|message| said(&message)));
        if let (Some(to), Some((by, said))) = (to, said) {
            return Some((IcmpError { to, by, said }, message.bytes));
        }
    }
}

/// The sender and the kind of an error. `None` if this host's kernel reported it, or if it does not end a path.
pub(super) fn said(message: &ControlMessageOwned) -> Option<(IpAddr, Said)> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds of messages are many, and not asked for")]
    let (by, error) = match message {
        ControlMessageOwned::Ipv4RecvErr(error, Some(offender)) => {
            (IpAddr::from(u32::from_be(offender.sin_addr.s_addr).to_be_bytes()), error)
        }
        ControlMessageOwned::Ipv6RecvErr(error, Some(offender)) => (IpAddr::from(offender.sin6_addr.s6_addr), error),
        _ => return None,
    };
    let said = match (error.ee_origin, error.ee_type, error.ee_code) {
        (libc::SO_EE_ORIGIN_ICMP, V4_UNREACHABLE, V4_PORT) | (libc::SO_EE_ORIGIN_ICMP6, V6_UNREACHABLE, V6_PORT) => {
            Said::PortClosed
        }
        (libc::SO_EE_ORIGIN_ICMP, V4_TIME_EXCEEDED, _) | (libc::SO_EE_ORIGIN_ICMP6, V6_TIME_EXCEEDED, _) => {
            Said::HopLimitReached
        }
        (libc::SO_EE_ORIGIN_ICMP, V4_UNREACHABLE, _) | (libc::SO_EE_ORIGIN_ICMP6, V6_UNREACHABLE, _) => {
            // A packet that is too large for the next link may pass in pieces.
            if error.ee_errno == nix::errno::Errno::EMSGSIZE as u32 {
                return None;
            }
            Said::Unreachable
        }
        _ => return None,
    };
    Some((by, said))
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::from((address.ip(), address.port())));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from((address.ip(), address.port()))))
}
