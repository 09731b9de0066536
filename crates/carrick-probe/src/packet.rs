//! The packets: probes, and answers of one size.
//!
//! | bytes | content |
//! |---|---|
//! | 0..4 | `CRKP` |
//! | 4 | version, 2 |
//! | 5 | 1: probe, 2: answer |
//! | 6 | probe: the probing node sends by the path of the probe (bit 0), and its location sends by it (bit 1); answer: which peers the answering node hears (bits 0–1 through tunnels, bits 2–3 inside its location), and whether it drains (bit 4); probe and answer: "I encapsulate what I forward to you" (bit 5), "I decapsulate what you forward to me" (bit 6); answer: the answering node hears the location that the probe asks about (bit 7) |
//! | 7 | probe: the flap count of the probed node, as the probing node counts; answer: the highest count that the answering node was told |
//! | 8..16 | the token of the probing node, which an answer repeats |
//! | 16..24 | the sequence number of the probe, which an answer repeats |
//! | 24..28 | probe: the location that it asks about, by 32 bits of the hash of its name, 0 if none; answer: for how long the answering node has been well, or has drained if it does, in milliseconds |
//! | 28..36 | probe: the session number that the probed node gave last, 0 if none; answer: the session number to repeat |
//! | 36..52 | the message authentication code |
//!
//! Numbers are in network byte order. A probe may be followed by padding. An answer never is, so that no sender gets more bytes than it
//! sent.
//!
//! The code is BLAKE2s with 16 bytes and a key (RFC 7693 §2.9) over these bytes: the address that sends, the address that receives (IPv4
//! addresses as IPv6 addresses, RFC 4291 §2.5.5.2), the length of the datagram in 4 bytes, bytes 0..36. So the code covers the length of
//! the padding, not its bytes: a padded probe says only that a packet of its size arrived. A node needs the same time to check a packet of
//! any size.
//!
//! Version 1 ends after 28 bytes and has no code. Only agents of protocol 1 send it and are sent it.

use std::net::IpAddr;
use std::num::NonZero;

use carrick_topology::LocationName;
use carrick_topology::hash::stable_hash;
use carrick_topology::model::Duty;
use thiserror::Error;

use crate::duty;
use crate::flap_count::FlapCount;
use crate::handover::HandoverFlags;
use crate::heard_peers::HeardPeers;
use crate::keys::{PairKeys, TAG_BYTES};
use crate::path_use::PathUse;

/// Bytes of an answer, and of a probe without padding.
pub(crate) const PACKET_BYTES: usize = SIGNED_BYTES + TAG_BYTES;
/// Bytes of an answer of version 1, and of a probe of version 1 without padding.
pub(crate) const PACKET_BYTES_V1: usize = 28;

/// The bytes that the code covers.
const SIGNED_BYTES: usize = PACKET_BYTES_V1 + 8;
const MAGIC: [u8; 4] = *b"CRKP";
const V1: u8 = 1;
const V2: u8 = 2;
const PROBE: u8 = 1;
const ANSWER: u8 = 2;

/// The identity of a probe, which its answer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeId {
    /// A random number of the probing node, a new one at each start of its agent. Only a node that received the probe can answer it.
    pub token: u64,
    /// The number of the probe, greater than those of all earlier ones: the microseconds from an origin of the prober's to its sending.
    pub sequence: u64,
}

/// The number of a session, which the probed node chooses and the probing node repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionNumber(pub(crate) u64);

impl SessionNumber {
    /// No number was given yet.
    pub(crate) const NONE: Self = Self(0);
}

/// What a node says of itself when it is probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Which peers it hears.
    pub heard_peers: HeardPeers,
    /// Whether it drains.
    pub duty: Duty,
    /// For how long it has heard a peer on each side that has any, or for how long it has drained if it does, in milliseconds.
    pub well_ms: u32,
    /// What goes encapsulated between it and the probing node.
    pub handover: HandoverFlags,
    /// How often it flapped lately: the highest count that it was told.
    pub flap_count: FlapCount,
    /// Whether it hears the location that the probe asks about.
    pub asked: AskedLocation,
}

/// A location that a probe asks about, by 32 bits of the hash of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocationTag(NonZero<u32>);

/// Whether a node hears a gateway of the location that it was asked about, by its own tunnel to that gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskedLocation {
    /// It hears none, or it was asked about no location.
    #[default]
    Unheard,
    /// It hears one.
    Heard,
}

/// What a node says when it probes another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    /// How often the probed node flapped lately, as the probing node counts.
    pub flap_count: FlapCount,
    /// What goes encapsulated between the two nodes.
    pub handover: HandoverFlags,
    /// A location of which the probing node hears no gateway.
    pub asks: Option<LocationTag>,
    /// Whether the probing node sends by the path of the probe.
    pub path_use: PathUse,
}

/// What a datagram on the probe port says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// "Are you there?"
    Probe(ProbeId, Announcement),
    /// "I am."
    Answer(ProbeId, Condition),
}

/// A datagram that was parsed. Its code is not checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datagram<'b> {
    /// Of version 1, without a code.
    V1(Packet),
    /// Of version 2.
    V2(SignedPacket<'b>),
}

/// A packet of version 2 that was parsed. Its code is not checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SignedPacket<'b> {
    /// What it says.
    pub(crate) packet: Packet,
    /// The number of the session.
    pub(crate) session: SessionNumber,
    signed: &'b [u8; SIGNED_BYTES],
    tag: &'b [u8; TAG_BYTES],
    /// The length of the datagram, padding included.
    length: usize,
}

/// The addresses between which a packet travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The address that sends.
    pub(crate) from: IpAddr,
    /// The address that receives.
    pub(crate) to: IpAddr,
}

/// A datagram that is neither a probe nor an answer of a version that this agent knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the datagram is neither a probe nor an answer of version 1 or 2")]
pub(crate) struct NotAPacket;

impl LocationTag {
    /// The tag of a location.
    #[must_use]
    pub fn of(location: &LocationName) -> Self {
        let hash = stable_hash(&["probed location", location.as_str()]);
        let bits = u32::try_from(hash & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self(NonZero::new(bits).unwrap_or(NonZero::<u32>::MIN))
    }
}

impl AskedLocation {
    const BIT: u8 = 1 << 7;

    const fn to_bits(self) -> u8 {
        match self {
            Self::Unheard => 0,
            Self::Heard => Self::BIT,
        }
    }

    const fn from_bits(bits: u8) -> Self {
        if bits & Self::BIT == 0 { Self::Unheard } else { Self::Heard }
    }
}

impl<'b> Datagram<'b> {
    /// Parses a datagram. Padding after a probe is skipped.
    ///
    /// # Errors
    /// The datagram is too short, of another kind, or of another version.
    pub(crate) fn parse(bytes: &'b [u8]) -> Result<Self, NotAPacket> {
        let (head, _) = bytes.split_first_chunk::<PACKET_BYTES_V1>().ok_or(NotAPacket)?;
        let [m0, m1, m2, m3, version, kind, rest @ ..] = *head;
        if [m0, m1, m2, m3] != MAGIC {
            return Err(NotAPacket);
        }
        let packet = Packet::from_fields(kind, &rest)?;
        let (datagram, length) = match version {
            V1 => (Self::V1(packet), PACKET_BYTES_V1),
            V2 => (Self::V2(SignedPacket::parse(bytes, packet).ok_or(NotAPacket)?), PACKET_BYTES),
            _ => return Err(NotAPacket),
        };
        match packet {
            Packet::Answer(..) if bytes.len() != length => Err(NotAPacket),
            Packet::Answer(..) | Packet::Probe(..) => Ok(datagram),
        }
    }

    /// What it says.
    #[must_use]
    pub(crate) const fn packet(&self) -> Packet {
        match self {
            Self::V1(packet) => *packet,
            Self::V2(signed) => signed.packet,
        }
    }
}

impl<'b> SignedPacket<'b> {
    fn parse(bytes: &'b [u8], packet: Packet) -> Option<Self> {
        let (signed, rest) = bytes.split_first_chunk::<SIGNED_BYTES>()?;
        let (tag, _) = rest.split_first_chunk::<TAG_BYTES>()?;
        let session = SessionNumber(number(&signed[PACKET_BYTES_V1..]));
        Some(Self { packet, session, signed, tag, length: bytes.len() })
    }

    /// Whether the holder of these keys sent the packet between these addresses.
    pub(crate) fn is_signed_by(&self, keys: &PairKeys, addresses: Addresses) -> bool {
        keys.verify([&addresses.with_length(self.length), self.signed], self.tag)
    }
}

impl Packet {
    fn from_fields(kind: u8, fields: &[u8; PACKET_BYTES_V1 - 6]) -> Result<Self, NotAPacket> {
        let [bits, flap_count, rest @ ..] = *fields;
        let (token, rest) = rest.split_at(8);
        let (sequence, number_32) = rest.split_at(8);
        let number_32 = u32::try_from(number(number_32)).unwrap_or(u32::MAX);
        let (flap_count, handover) = (FlapCount::from_byte(flap_count), HandoverFlags::from_bits(bits));
        let id = ProbeId { token: number(token), sequence: number(sequence) };
        match kind {
            PROBE => {
                let asks = NonZero::new(number_32).map(LocationTag);
                let path_use = PathUse::from_bits(bits);
                Ok(Self::Probe(id, Announcement { flap_count, handover, asks, path_use }))
            }
            ANSWER => {
                let (heard_peers, asked) = (HeardPeers::from_bits(bits), AskedLocation::from_bits(bits));
                let (duty, well_ms) = (duty::from_bits(bits), number_32);
                Ok(Self::Answer(id, Condition { heard_peers, duty, well_ms, handover, flap_count, asked }))
            }
            _ => Err(NotAPacket),
        }
    }

    /// The datagram of version 1, without padding.
    #[must_use]
    pub(crate) fn to_v1(self) -> [u8; PACKET_BYTES_V1] {
        let mut bytes = [0; PACKET_BYTES_V1];
        bytes.copy_from_slice(&self.fields(V1)[..PACKET_BYTES_V1]);
        bytes
    }

    /// The datagram of version 2, with padding up to `length` bytes if that is more than the packet has.
    pub(crate) fn to_v2(self, session: SessionNumber, keys: &PairKeys, addresses: Addresses, length: usize) -> Vec<u8> {
        let mut signed = self.fields(V2);
        signed[PACKET_BYTES_V1..].copy_from_slice(&session.0.to_be_bytes());
        let length = length.max(PACKET_BYTES);
        let tag = keys.tag([&addresses.with_length(length), &signed]);
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(signed);
        bytes.extend(tag);
        bytes.resize(length, 0);
        bytes
    }

    fn fields(self, version: u8) -> [u8; SIGNED_BYTES] {
        let (kind, id, condition, path_use) = match self {
            Self::Probe(id, Announcement { flap_count, handover, asks, path_use }) => {
                let number_32 = asks.map_or(0, |tag| tag.0.get());
                let condition = Condition { flap_count, handover, well_ms: number_32, ..Condition::default() };
                (PROBE, id, condition, path_use)
            }
            Self::Answer(id, condition) => (ANSWER, id, condition, PathUse::Unsaid),
        };
        let mut bytes = [0; SIGNED_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        let Condition { heard_peers, duty, handover, asked, .. } = condition;
        let bits = heard_peers.to_bits() | duty::to_bits(duty) | handover.to_bits() | asked.to_bits();
        let bits = bits | path_use.to_bits();
        bytes[4..8].copy_from_slice(&[version, kind, bits, condition.flap_count.to_byte()]);
        bytes[8..16].copy_from_slice(&id.token.to_be_bytes());
        bytes[16..24].copy_from_slice(&id.sequence.to_be_bytes());
        bytes[24..28].copy_from_slice(&condition.well_ms.to_be_bytes());
        bytes
    }
}

impl Addresses {
    /// The same way back.
    #[must_use]
    pub(crate) const fn reversed(self) -> Self {
        Self { from: self.to, to: self.from }
    }

    /// What the code covers besides the packet itself.
    fn with_length(self, length: usize) -> [u8; 36] {
        let octets = |address: IpAddr| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let mut bytes = [0; 36];
        bytes[..16].copy_from_slice(&octets(self.from));
        bytes[16..32].copy_from_slice(&octets(self.to));
        bytes[32..].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        bytes
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
