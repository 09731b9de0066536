//! Datagrams on the probe port.

use std::net::{IpAddr, Ipv4Addr};

use carrick_topology::PublicKey;
use carrick_types::SecretKey;

use crate::keys::{OwnKeys, PairKeys};
use crate::packet::{Addresses, Datagram, PACKET_BYTES, PACKET_BYTES_V1, Packet, SignedPacket};

/// What every packet begins with, before the version.
const MARK: &[u8] = b"CRKP";
/// The fields that an answer repeats: token and sequence number.
const REPEATED: std::ops::Range<usize> = 8..24;

/// Reads `bytes` as a datagram.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    let Ok(datagram) = Datagram::parse(bytes) else { return check_refusal(bytes) };
    assert!(bytes.starts_with(MARK) && bytes.len() >= least(bytes[4]).unwrap());
    let packet = datagram.packet();
    let written = packet.to_v1();
    assert_eq!(Datagram::parse(&written).unwrap(), Datagram::V1(packet));
    assert_eq!(written[REPEATED], bytes[REPEATED]);
    let padded = [bytes, &[0xff]].concat();
    match packet {
        Packet::Probe(..) => assert_eq!(Datagram::parse(&padded).unwrap().packet(), packet, "padding says something"),
        Packet::Answer(..) => {
            assert_eq!(bytes.len(), least(bytes[4]).unwrap());
            assert!(Datagram::parse(&padded).is_err(), "an answer is longer than a probe can be");
        }
    }
    if let Datagram::V2(signed) = datagram {
        check_code(bytes, &signed);
    }
}

/// Bytes that say nothing of a key have no good code, and what is written of the same packet has one.
fn check_code(bytes: &[u8], signed: &SignedPacket<'_>) {
    let [keys, other_end] = pair();
    let host = |host| IpAddr::V4(Ipv4Addr::new(10, 4, 0, host));
    let addresses = Addresses { from: host(1), to: host(2) };
    assert!(!signed.is_signed_by(&other_end, addresses), "{bytes:?}");
    let written = signed.packet.to_v2(signed.session, &keys, addresses, bytes.len());
    assert_eq!(written.len(), bytes.len());
    let Datagram::V2(read) = Datagram::parse(&written).unwrap() else { panic!("another version") };
    assert_eq!((read.packet, read.session), (signed.packet, signed.session));
    assert!(read.is_signed_by(&other_end, addresses));
    assert!(!read.is_signed_by(&keys, addresses), "a packet comes back to its sender");
}

/// The keys of two nodes that share a secret.
fn pair() -> [PairKeys; 2] {
    let public =
        |private: [u8; 32]| PublicKey::from_bytes(x25519_dalek::x25519(private, x25519_dalek::X25519_BASEPOINT_BYTES));
    [([1; 32], [2; 32]), ([2; 32], [1; 32])]
        .map(|(own, other)| OwnKeys::new(SecretKey::new(own)).agree(&public(other)).unwrap())
}

/// The bytes of a packet of this version.
const fn least(version: u8) -> Option<usize> {
    match version {
        1 => Some(PACKET_BYTES_V1),
        2 => Some(PACKET_BYTES),
        _ => None,
    }
}

/// Nothing is refused that a node of these versions sends.
fn check_refusal(bytes: &[u8]) {
    let length = bytes.get(4).and_then(|version| least(*version));
    let is_packet = length.is_some_and(|length| match bytes.get(5) {
        Some(1) => bytes.len() >= length,
        Some(2) => bytes.len() == length,
        _ => false,
    });
    assert!(!(bytes.starts_with(MARK) && is_packet), "{bytes:?}");
}
