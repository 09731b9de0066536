use proptest::prelude::*;

use super::*;
use crate::heard_peers::Reachability;
use crate::keys::OwnKeys;
use carrick_topology::PublicKey;
use carrick_topology::model::Duty;
use carrick_types::SecretKey;

const ID: ProbeId = ProbeId { token: 0x0102_0304_0506_0708, sequence: 9 };
const SESSION: SessionNumber = SessionNumber(0x1112_1314_1516_1718);

/// The keys of two nodes, each with the public key of the other one.
fn pair() -> [PairKeys; 2] {
    let public =
        |private: [u8; 32]| PublicKey::from_bytes(x25519_dalek::x25519(private, x25519_dalek::X25519_BASEPOINT_BYTES));
    [([1; 32], [2; 32]), ([2; 32], [1; 32])]
        .map(|(own, other)| OwnKeys::new(SecretKey::new(own)).agree(&public(other)).unwrap())
}

fn addresses() -> Addresses {
    Addresses { from: "10.4.0.1".parse().unwrap(), to: "10.4.0.2".parse().unwrap() }
}

fn parse_v2(bytes: &[u8]) -> Option<SignedPacket<'_>> {
    match Datagram::parse(bytes) {
        Ok(Datagram::V2(signed)) => Some(signed),
        Ok(Datagram::V1(_)) | Err(NotAPacket) => None,
    }
}

/// Whether the node with these keys takes the datagram for one of the other node.
fn is_genuine(bytes: &[u8], keys: &PairKeys, addresses: Addresses) -> bool {
    parse_v2(bytes).is_some_and(|signed| signed.is_signed_by(keys, addresses))
}

#[test]
fn the_bytes_on_the_wire_are_as_documented() {
    let heard_peers = HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::NoPeer };
    let (flap_count, handover) = (FlapCount::from_byte(3), HandoverFlags::ENCAPSULATES);
    let answer = Packet::Answer(
        ID,
        Condition {
            heard_peers,
            duty: Duty::Serving,
            well_ms: 0x0a0b,
            handover,
            flap_count,
            asked: AskedLocation::Unheard,
        },
    );
    let probe = Packet::Probe(
        ID,
        Announcement { flap_count, handover: HandoverFlags::DECAPSULATES, ..Announcement::default() },
    );
    assert_eq!(answer.to_v1()[..16], *b"CRKP\x01\x02\x29\x03\x01\x02\x03\x04\x05\x06\x07\x08");
    assert_eq!(answer.to_v1()[16..], *b"\0\0\0\0\0\0\0\x09\0\0\x0a\x0b");
    assert_eq!(probe.to_v1()[..16], *b"CRKP\x01\x01\x40\x03\x01\x02\x03\x04\x05\x06\x07\x08");
    assert_eq!(probe.to_v1()[16..], *b"\0\0\0\0\0\0\0\x09\0\0\0\0");

    let [keys, _] = pair();
    for packet in [answer, probe] {
        let (v1, v2) = (packet.to_v1(), packet.to_v2(SESSION, &keys, addresses(), 0));
        assert_eq!(v2.len(), 52);
        assert_eq!((&v2[..4], v2[4], &v2[5..28]), (&b"CRKP"[..], 2, &v1[5..]));
        assert_eq!(v2[28..36], *b"\x11\x12\x13\x14\x15\x16\x17\x18");
        let mut covered = vec![0; 10];
        covered.extend(*b"\xff\xff\x0a\x04\x00\x01\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x04\x00\x02\0\0\0\x34");
        covered.extend(&v2[..36]);
        assert_eq!(v2[36..], keys.tag([&covered, &[]]));
    }
}

#[test]
fn the_use_of_a_tunnel_is_on_the_wire_and_earlier_agents_say_nothing_of_it() {
    let says = |path_use| Packet::Probe(ID, Announcement { path_use, ..Announcement::default() });
    for (path_use, bits) in [(PathUse::Unsaid, 0), (PathUse::Used, 1), (PathUse::UsedByLocation, 3)] {
        let packet = says(path_use);
        assert_eq!(packet.to_v1()[6], bits);
        assert_eq!(Datagram::parse(&packet.to_v1()), Ok(Datagram::V1(packet)));
    }
}

#[test]
fn a_question_and_its_answer_are_on_the_wire() {
    let asks = Some(LocationTag(NonZero::new(0x0a0b).unwrap()));
    let probe = Packet::Probe(ID, Announcement { asks, ..Announcement::default() });
    assert_eq!(probe.to_v1()[24..], *b"\0\0\x0a\x0b");
    let answer = Packet::Answer(ID, Condition { asked: AskedLocation::Heard, ..Condition::default() });
    assert_eq!(answer.to_v1()[6], 0x80);
    for packet in [probe, answer] {
        assert_eq!(Datagram::parse(&packet.to_v1()), Ok(Datagram::V1(packet)));
    }
}

#[test]
fn reserved_bits_are_ignored() {
    let probe = Packet::Probe(ID, Announcement { handover: HandoverFlags::ENCAPSULATES, ..Announcement::default() });
    for bit in [2, 3, 4, 7] {
        let mut bytes = probe.to_v1();
        bytes[6] |= 1 << bit;
        assert_eq!(Datagram::parse(&bytes), Ok(Datagram::V1(probe)), "bit {bit}");
    }
}

#[test]
fn a_node_that_drains_says_so_in_bit_4_of_its_answers() {
    let answer = Packet::Answer(ID, Condition { duty: Duty::Draining, well_ms: 7, ..Condition::default() });
    let bytes = answer.to_v1();
    assert_eq!((bytes[6], &bytes[24..]), (1 << 4, &[0, 0, 0, 7][..]));
    assert_eq!(Datagram::parse(&bytes), Ok(Datagram::V1(answer)));
}

#[test]
fn padding_is_accepted_after_a_probe_and_refused_after_an_answer() {
    let [keys, other_end] = pair();
    let probe = Packet::Probe(ID, Announcement::default());
    let answer = Packet::Answer(ID, Condition::default());
    let padded = |packet: Packet| [packet.to_v1().as_slice(), &[0; 100]].concat();
    assert_eq!(Datagram::parse(&padded(probe)), Ok(Datagram::V1(probe)));
    assert_eq!(Datagram::parse(&padded(answer)), Err(NotAPacket));
    let padded = |packet: Packet| packet.to_v2(SESSION, &keys, addresses(), 1300);
    assert_eq!(padded(probe).len(), 1300);
    assert!(is_genuine(&padded(probe), &other_end, addresses()));
    assert_eq!(Datagram::parse(&padded(answer)), Err(NotAPacket));
}

#[test]
fn a_packet_with_other_addresses_is_refused() {
    let [keys, other_end] = pair();
    let bytes = Packet::Probe(ID, Announcement::default()).to_v2(SESSION, &keys, addresses(), 0);
    assert!(is_genuine(&bytes, &other_end, addresses()));
    for other in [
        addresses().reversed(),
        Addresses { from: "10.4.0.3".parse().unwrap(), ..addresses() },
        Addresses { to: "fd00::2".parse().unwrap(), ..addresses() },
    ] {
        assert!(!is_genuine(&bytes, &other_end, other), "{other:?}");
    }
}

proptest! {
    #[test]
    fn a_packet_that_is_written_is_parsed_to_the_same(
        token: u64, sequence: u64, session: u64, bits: u8, well_ms: u32, flap_count: u8
    ) {
        let (flap_count, handover) = (FlapCount::from_byte(flap_count), HandoverFlags::from_bits(bits));
        let condition = Condition { heard_peers: HeardPeers::from_bits(bits), duty: duty::from_bits(bits), well_ms, handover, flap_count, asked: AskedLocation::from_bits(bits) };
        let id = ProbeId { token, sequence };
        let [keys, other_end] = pair();
        for packet in [Packet::Probe(id, Announcement { flap_count, handover, asks: NonZero::new(well_ms).map(LocationTag), path_use: PathUse::from_bits(bits) }), Packet::Answer(id, condition)] {
            let v1 = packet.to_v1();
            prop_assert_eq!(Datagram::parse(&v1), Ok(Datagram::V1(packet)));
            let bytes = packet.to_v2(SessionNumber(session), &keys, addresses(), 0);
            let signed = parse_v2(&bytes).unwrap();
            prop_assert_eq!((signed.packet, signed.session), (packet, SessionNumber(session)));
            prop_assert!(is_genuine(&bytes, &other_end, addresses()));
            prop_assert!(!is_genuine(&bytes, &keys, addresses()), "it comes back to its sender");
        }
    }

    /// A changed byte, and padding that is cut off or added.
    #[test]
    fn a_changed_packet_is_refused(at in 0..PACKET_BYTES, change in 1..=u8::MAX, padding in 0..64_usize, other in 0..64_usize) {
        let [keys, other_end] = pair();
        for packet in [Packet::Probe(ID, Announcement::default()), Packet::Answer(ID, Condition::default())] {
            let mut bytes = packet.to_v2(SESSION, &keys, addresses(), 0);
            bytes[at] ^= change;
            prop_assert!(!is_genuine(&bytes, &other_end, addresses()), "byte {at}");
        }
        let probe = Packet::Probe(ID, Announcement::default());
        let mut bytes = probe.to_v2(SESSION, &keys, addresses(), PACKET_BYTES + padding);
        bytes.resize(PACKET_BYTES + other, 0);
        prop_assert_eq!(is_genuine(&bytes, &other_end, addresses()), padding == other);
    }

    #[test]
    fn any_bytes_are_parsed_without_a_panic(bytes: Vec<u8>) {
        let _ = Datagram::parse(&bytes);
    }
}
