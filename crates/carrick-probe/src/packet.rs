//! The packets: probes, and answers of one size.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | `CRKP` |
//! | 4 | version, 1 |
//! | 5 | 1: probe, 2: answer |
//! | 6 | answer: which peers the answering node hears (bits 0–1 through tunnels, bits 2–3 inside its location); probe and answer: "I encapsulate what I forward to you" (bit 5), "I decapsulate what you forward to me" (bit 6) |
//! | 7 | probe: the flap count of the probed node, as the probing node counts; answer: the highest count that the answering node was told |
//! | 8..16 | the token of the probing node, which an answer repeats |
//! | 16..24 | the sequence number of the probe, which an answer repeats |
//! | 24..28 | answer: for how long the answering node has been well, in milliseconds |
//!
//! Numbers are in network byte order. A probe may be followed by padding. An answer never is, so that no sender gets more bytes than it
//! sent.

use thiserror::Error;

use crate::flap_count::FlapCount;
use crate::handover::HandoverFlags;
use crate::heard_peers::HeardPeers;

/// Bytes of an answer, and of a probe without padding.
pub const PACKET_BYTES: usize = 28;

const MAGIC: [u8; 4] = *b"CRKP";
const VERSION: u8 = 1;
const PROBE: u8 = 1;
const ANSWER: u8 = 2;

/// The identity of a probe, which its answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeId {
    /// A random number of the probing node, so that only a node that received the probe can answer it.
    pub token: u64,
    /// The number of the probe.
    pub sequence: u64,
}

/// What a node says of itself when it is probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Which peers it hears.
    pub heard_peers: HeardPeers,
    /// For how long it has heard a peer on each side that has any, in milliseconds.
    pub well_ms: u32,
    /// What goes encapsulated between it and the probing node.
    pub handover: HandoverFlags,
    /// How often it flapped lately: the highest count that it was told.
    pub flap_count: FlapCount,
}

/// What a node says when it probes another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// How often the probed node flapped lately, as the probing node counts.
    pub flap_count: FlapCount,
    /// What goes encapsulated between the two nodes.
    pub handover: HandoverFlags,
}

/// A datagram on the probe port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// "Are you there?"
    Probe(ProbeId, Announcement),
    /// "I am."
    Answer(ProbeId, Condition),
}

/// A datagram that is neither a probe nor an answer of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the datagram is neither a probe nor an answer of version 1")]
pub struct NotAPacket;

impl Packet {
    /// Parses a datagram. Padding after a probe is ignored.
    ///
    /// # Errors
    /// The datagram is too short, of another kind, or of another version.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAPacket> {
        let (head, padding) = bytes.split_first_chunk::<PACKET_BYTES>().ok_or(NotAPacket)?;
        let [m0, m1, m2, m3, version, kind, bits, flap_count, rest @ ..] = *head;
        if [m0, m1, m2, m3] != MAGIC || version != VERSION {
            return Err(NotAPacket);
        }
        let (token, rest) = rest.split_at(8);
        let (sequence, well_ms) = rest.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let (flap_count, handover) = (FlapCount::from_byte(flap_count), HandoverFlags::from_bits(bits));
        let id = ProbeId { token: number(token), sequence: number(sequence) };
        match kind {
            PROBE => Ok(Self::Probe(id, Announcement { flap_count, handover })),
            ANSWER if padding.is_empty() => {
                let well_ms = u32::try_from(number(well_ms)).unwrap_or(u32::MAX);
                Ok(Self::Answer(
                    id,
                    Condition { heard_peers: HeardPeers::from_bits(bits), well_ms, handover, flap_count },
                ))
            }
            _ => Err(NotAPacket),
        }
    }

    /// The datagram, without padding.
    #[must_use]
    pub fn to_bytes(self) -> [u8; PACKET_BYTES] {
        let (kind, id, condition) = match self {
            Self::Probe(id, Announcement { flap_count, handover }) => {
                (PROBE, id, Condition { flap_count, handover, ..Condition::default() })
            }
            Self::Answer(id, condition) => (ANSWER, id, condition),
        };
        let mut bytes = [0; PACKET_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        let bits = condition.heard_peers.to_bits() | condition.handover.to_bits();
        bytes[4..8].copy_from_slice(&[VERSION, kind, bits, condition.flap_count.to_byte()]);
        bytes[8..16].copy_from_slice(&id.token.to_be_bytes());
        bytes[16..24].copy_from_slice(&id.sequence.to_be_bytes());
        bytes[24..].copy_from_slice(&condition.well_ms.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::heard_peers::Reachability;

    #[test]
    fn the_bytes_on_the_wire_are_as_documented() {
        let id = ProbeId { token: 0x0102_0304_0506_0708, sequence: 9 };
        let heard_peers = HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::NoPeer };
        let (flap_count, handover) = (FlapCount::from_byte(3), HandoverFlags::ENCAPSULATES);
        let answer = Packet::Answer(id, Condition { heard_peers, well_ms: 0x0a0b, handover, flap_count }).to_bytes();
        assert_eq!(answer[..16], *b"CRKP\x01\x02\x29\x03\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!(answer[16..], *b"\0\0\0\0\0\0\0\x09\0\0\x0a\x0b");
        let announcement = Announcement { flap_count, handover: HandoverFlags::DECAPSULATES };
        let probe = Packet::Probe(id, announcement).to_bytes();
        assert_eq!(probe[..16], *b"CRKP\x01\x01\x40\x03\x01\x02\x03\x04\x05\x06\x07\x08");
        assert_eq!(probe[16..], *b"\0\0\0\0\0\0\0\x09\0\0\0\0");
    }

    #[test]
    fn reserved_bits_are_ignored() {
        let id = ProbeId { token: 1, sequence: 2 };
        for packet in [
            Packet::Probe(id, Announcement { handover: HandoverFlags::ENCAPSULATES, ..Announcement::default() }),
            Packet::Answer(id, Condition::default()),
        ] {
            let mut bytes = packet.to_bytes();
            bytes[6] |= 1 << 4 | 1 << 7;
            assert_eq!(Packet::parse(&bytes), Ok(packet));
        }
    }

    #[test]
    fn padding_is_accepted_after_a_probe_and_refused_after_an_answer() {
        let id = ProbeId { token: 1, sequence: 2 };
        let probe = Packet::Probe(id, Announcement::default());
        let padded = |packet: Packet| [packet.to_bytes().as_slice(), &[0; 100]].concat();
        assert_eq!(Packet::parse(&padded(probe)), Ok(probe));
        assert_eq!(Packet::parse(&padded(Packet::Answer(id, Condition::default()))), Err(NotAPacket));
    }

    proptest! {
        #[test]
        fn a_packet_that_is_written_is_parsed_to_the_same(token: u64, sequence: u64, bits: u8, well_ms: u32, flap_count: u8) {
            let (flap_count, handover) = (FlapCount::from_byte(flap_count), HandoverFlags::from_bits(bits));
            let condition = Condition { heard_peers: HeardPeers::from_bits(bits), well_ms, handover, flap_count };
            let id = ProbeId { token, sequence };
            for packet in [Packet::Probe(id, Announcement { flap_count, handover }), Packet::Answer(id, condition)] {
                prop_assert_eq!(Packet::parse(&packet.to_bytes()), Ok(packet));
            }
        }

        #[test]
        fn any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>) {
            let _ = Packet::parse(&bytes);
        }
    }
}
