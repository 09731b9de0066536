//! Datagrams on the probe port.

use crate::{PACKET_BYTES, Packet};

/// What every packet begins with: the mark and the version.
const HEAD: &[u8] = b"CRKP\x01";
/// The fields that an answer repeats: token and sequence number.
const REPEATED: std::ops::Range<usize> = 8..24;

/// Reads `bytes` as a datagram.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    let Ok(packet) = Packet::parse(bytes) else { return check_refusal(bytes) };
    assert!(bytes.starts_with(HEAD) && bytes.len() >= PACKET_BYTES);
    let written = packet.to_bytes();
    assert_eq!(Packet::parse(&written).unwrap(), packet);
    assert_eq!(written[REPEATED], bytes[REPEATED]);
    let padded = [&written[..], &[0xff]].concat();
    match packet {
        Packet::Probe(..) => assert_eq!(Packet::parse(&padded).unwrap(), packet, "padding says something"),
        Packet::Answer(..) => {
            assert_eq!(bytes.len(), PACKET_BYTES);
            assert!(Packet::parse(&padded).is_err(), "an answer is longer than a probe can be");
        }
    }
}

/// Nothing is refused that a node of this version sends.
fn check_refusal(bytes: &[u8]) {
    let is_probe = bytes.get(5) == Some(&1);
    let is_answer = bytes.get(5) == Some(&2) && bytes.len() == PACKET_BYTES;
    assert!(!(bytes.starts_with(HEAD) && bytes.len() >= PACKET_BYTES && (is_probe || is_answer)), "{bytes:?}");
}
