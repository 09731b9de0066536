//! ICMP errors as the kernel reports them: control messages of a socket's error queue (ip(7), `IP_RECVERR`).

use std::net::IpAddr;

use nix::libc::{
    AF_INET, AF_INET6, SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6, in_addr, in6_addr, sa_family_t, sock_extended_err,
    sockaddr_in, sockaddr_in6,
};
use nix::sys::socket::ControlMessageOwned;

use crate::agent::icmp_errors::{Said, said};

/// Reads `bytes` as a control message: whether it is of IPv6, `struct sock_extended_err`, then the offender's socket address.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    let Some((message, error, offender)) = control_message(bytes) else { return };
    let Some((by, said)) = said(&message) else { return };
    assert_eq!(Some(by), offender, "an address that is not the offender's");
    assert!(matches!(error.ee_origin, SO_EE_ORIGIN_ICMP | SO_EE_ORIGIN_ICMP6), "no router and no host said this");
    let is_v6 = error.ee_origin == SO_EE_ORIGIN_ICMP6;
    // RFC 792 and RFC 4443: destination unreachable with its code for ports, and time exceeded.
    let expected = match (is_v6, error.ee_type, error.ee_code) {
        (false, 3, 3) | (true, 1, 4) => Said::PortClosed,
        (false, 3, _) | (true, 1, _) => Said::Unreachable,
        (false, 11, _) | (true, 3, _) => Said::HopLimitReached,
        (_, kind, code) => panic!("type {kind}, code {code} ends no path"),
    };
    assert_eq!(said, expected);
}

fn control_message(bytes: &[u8]) -> Option<(ControlMessageOwned, sock_extended_err, Option<IpAddr>)> {
    let (level, rest) = bytes.split_first()?;
    let (error, address) = rest.split_first_chunk::<16>()?;
    let [a, b, c, d, origin, kind, code, _, info @ ..] = *error;
    let word = |at: usize| Some(u32::from_ne_bytes(info.get(at..at + 4)?.try_into().ok()?));
    let error = sock_extended_err {
        ee_errno: u32::from_ne_bytes([a, b, c, d]),
        ee_origin: origin,
        ee_type: kind,
        ee_code: code,
        ee_pad: 0,
        ee_info: word(0)?,
        ee_data: word(4)?,
    };
    let (offender, message) = if *level == 0 {
        let offender = v4(address);
        (offender.map(|(address, _)| address), ControlMessageOwned::Ipv4RecvErr(error, offender.map(|(_, raw)| raw)))
    } else {
        let offender = v6(address);
        (offender.map(|(address, _)| address), ControlMessageOwned::Ipv6RecvErr(error, offender.map(|(_, raw)| raw)))
    };
    Some((message, error, offender))
}

/// `struct sockaddr_in`. The kernel sets no family if it does not know the sender.
fn v4(bytes: &[u8]) -> Option<(IpAddr, sockaddr_in)> {
    let [low, high, _, _, a, b, c, d] = *bytes.first_chunk::<8>()?;
    let raw = sockaddr_in {
        sin_family: family_of([low, high], AF_INET)?,
        sin_port: 0,
        sin_addr: in_addr { s_addr: u32::from_ne_bytes([a, b, c, d]) },
        sin_zero: [0; 8],
    };
    Some((IpAddr::from([a, b, c, d]), raw))
}

/// `struct sockaddr_in6`.
fn v6(bytes: &[u8]) -> Option<(IpAddr, sockaddr_in6)> {
    let address: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
    let raw = sockaddr_in6 {
        sin6_family: family_of(*bytes.first_chunk()?, AF_INET6)?,
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: in6_addr { s6_addr: address },
        sin6_scope_id: 0,
    };
    Some((IpAddr::from(address), raw))
}

fn family_of(bytes: [u8; 2], wanted: i32) -> Option<sa_family_t> {
    let family = u16::from_ne_bytes(bytes);
    (i32::from(family) == wanted).then_some(family)
}
