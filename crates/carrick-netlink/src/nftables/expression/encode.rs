//! Instructions as the kernel reads them.

use super::{Direction, Expression, Membership, PortChoice, ProtocolFamily as _, Register, Verdict};
use crate::nftables::abi::data;
use crate::nftables::abi::expression::{
    bitwise, byteorder, compare, conntrack, exthdr, fib, immediate, lookup, masquerade, meta, nat, payload, route,
};
use crate::nftables::attribute::Attributes;

/// `NFT_REG32_00`.
const FIRST_REGISTER: u32 = 8;
/// `NFT_BYTEORDER_HTON`.
const HOST_TO_NETWORK: u32 = 1;
/// The TCP option `MSS`: kind 2, its value two bytes behind.
pub(super) const SEGMENT_SIZE_OPTION: u8 = 2;
pub(super) const SEGMENT_SIZE_OFFSET: u32 = 2;
pub(super) const SEGMENT_SIZE_LENGTH: u32 = 2;

impl Expression {
    /// The instruction's name in the kernel and its attributes.
    pub(in crate::nftables) fn encode(&self) -> Attributes {
        let (name, attributes) = self.name_and_attributes();
        Attributes::new().with_text(data::EXPRESSION_NAME, name).with_nested(data::EXPRESSION_DATA, &attributes)
    }

    fn name_and_attributes(&self) -> (&str, Attributes) {
        let new = Attributes::new();
        match self {
            Expression::Meta { key, destination } => {
                ("meta", new.with_u32(meta::KEY, *key as u32).with_u32(meta::DESTINATION, destination.number()))
            }
            Expression::SetMeta { key, source } => {
                ("meta", new.with_u32(meta::KEY, *key as u32).with_u32(meta::SOURCE, source.number()))
            }
            Expression::Payload { base, offset, length, destination } => (
                "payload",
                new.with_u32(payload::DESTINATION, destination.number())
                    .with_u32(payload::BASE, *base as u32)
                    .with_u32(payload::OFFSET, *offset)
                    .with_u32(payload::LENGTH, *length),
            ),
            Expression::Bitwise { source, destination, mask, xor } => (
                "bitwise",
                new.with_u32(bitwise::SOURCE, source.number())
                    .with_u32(bitwise::DESTINATION, destination.number())
                    .with_u32(bitwise::LENGTH, u32::try_from(mask.len()).unwrap_or(u32::MAX))
                    .with_nested(bitwise::MASK, &value(mask))
                    .with_nested(bitwise::XOR, &value(xor)),
            ),
            Expression::HostToNetwork16 { source, destination } => (
                "byteorder",
                new.with_u32(byteorder::SOURCE, source.number())
                    .with_u32(byteorder::DESTINATION, destination.number())
                    .with_u32(byteorder::OPERATION, HOST_TO_NETWORK)
                    .with_u32(byteorder::LENGTH, 2)
                    .with_u32(byteorder::SIZE, 2),
            ),
            Expression::Compare { source, operator, value: right } => (
                "cmp",
                new.with_u32(compare::SOURCE, source.number())
                    .with_u32(compare::OPERATOR, *operator as u32)
                    .with_nested(compare::DATA, &value(right)),
            ),
            Expression::Lookup { set, source, membership } => ("lookup", lookup_in(set, *source, *membership)),
            Expression::MapLookup { map, source, destination } => {
                ("lookup", lookup_in(map, *source, Membership::In).with_u32(lookup::DESTINATION, destination.number()))
            }
            Expression::VerdictLookup { map, source } => (
                "lookup",
                lookup_in(map, *source, Membership::In).with_u32(lookup::DESTINATION, immediate::VERDICT_REGISTER),
            ),
            Expression::Immediate { value: constant, destination } => (
                "immediate",
                new.with_u32(immediate::DESTINATION, destination.number())
                    .with_nested(immediate::DATA, &value(constant)),
            ),
            Expression::Verdict(verdict) => (
                "immediate",
                new.with_u32(immediate::DESTINATION, immediate::VERDICT_REGISTER)
                    .with_nested(immediate::DATA, &verdict.encode()),
            ),
            Expression::Conntrack { key, destination } => {
                ("ct", new.with_u32(conntrack::KEY, *key as u32).with_u32(conntrack::DESTINATION, destination.number()))
            }
            Expression::AddressType { direction, destination } => (
                "fib",
                new.with_u32(fib::DESTINATION, destination.number())
                    .with_u32(fib::RESULT, fib::RESULT_ADDRESS_TYPE)
                    .with_u32(fib::FLAGS, fib_flag(*direction)),
            ),
            Expression::ReversePath { destination } => (
                "fib",
                new.with_u32(fib::DESTINATION, destination.number())
                    .with_u32(fib::RESULT, fib::RESULT_OUTPUT_INTERFACE)
                    .with_u32(fib::FLAGS, fib::FLAGS_REVERSE_PATH),
            ),
            Expression::Counter => ("counter", new),
            Expression::NoTrack => ("notrack", new),
            Expression::Masquerade => ("masq", new.with_u32(masquerade::FLAGS, masquerade::FULLY_RANDOM)),
            Expression::Nat { direction, version, address, port, choice } => {
                let mut attributes =
                    new.with_u32(nat::TYPE, nat_type(*direction)).with_u32(nat::FAMILY, u32::from(version.number()));
                if let Some(address) = address {
                    attributes = attributes.with_u32(nat::ADDRESS, address.number());
                }
                if let Some(port) = port {
                    attributes = attributes.with_u32(nat::PORT, port.number());
                }
                if *choice == PortChoice::Random {
                    attributes = attributes.with_u32(nat::FLAGS, masquerade::FULLY_RANDOM);
                }
                ("nat", attributes)
            }
            Expression::RouteSegmentSize { destination } => {
                ("rt", new.with_u32(route::DESTINATION, destination.number()).with_u32(route::KEY, route::KEY_TCP_MSS))
            }
            Expression::SegmentSize { destination } => {
                ("exthdr", segment_size_option().with_u32(exthdr::DESTINATION, destination.number()))
            }
            Expression::LowerSegmentSize { source } => {
                ("exthdr", segment_size_option().with_u32(exthdr::SOURCE, source.number()))
            }
            Expression::Reject => ("reject", new),
            Expression::Foreign(name) => (name, new),
        }
    }
}

impl Verdict {
    /// As the value of a register or of a map.
    pub(in crate::nftables) fn encode(&self) -> Attributes {
        let mut verdict = Attributes::new().with_bytes(data::VERDICT_CODE, &self.code().to_be_bytes());
        if let Verdict::Jump(chain) | Verdict::Goto(chain) = self {
            verdict = verdict.with_text(data::VERDICT_CHAIN, chain);
        }
        Attributes::new().with_nested(data::VERDICT, &verdict)
    }

    /// `NF_*` and `enum nft_verdicts`.
    pub(super) const fn code(&self) -> i32 {
        match self {
            Verdict::Drop => 0,
            Verdict::Accept => 1,
            Verdict::Jump(_) => -3,
            Verdict::Goto(_) => -4,
            Verdict::Return => -5,
        }
    }
}

impl Register {
    fn number(self) -> u32 {
        FIRST_REGISTER + u32::from(self.0)
    }
}

/// A plain value, as `NFTA_DATA_VALUE`.
pub(in crate::nftables) fn value(bytes: &[u8]) -> Attributes {
    Attributes::new().with_bytes(data::VALUE, bytes)
}

pub(super) const fn fib_flag(direction: Direction) -> u32 {
    match direction {
        Direction::Source => fib::FLAG_SOURCE,
        Direction::Destination => fib::FLAG_DESTINATION,
    }
}

/// `enum nft_nat_types`.
pub(super) const fn nat_type(direction: Direction) -> u32 {
    match direction {
        Direction::Source => 0,
        Direction::Destination => 1,
    }
}

fn lookup_in(set: &str, source: Register, membership: Membership) -> Attributes {
    let flags = match membership {
        Membership::In => 0,
        Membership::NotIn => lookup::FLAG_INVERTED,
    };
    Attributes::new()
        .with_text(lookup::SET, set)
        .with_u32(lookup::SOURCE, source.number())
        .with_u32(lookup::FLAGS, flags)
}

fn segment_size_option() -> Attributes {
    Attributes::new()
        .with_bytes(exthdr::TYPE, &[SEGMENT_SIZE_OPTION])
        .with_u32(exthdr::OFFSET, SEGMENT_SIZE_OFFSET)
        .with_u32(exthdr::LENGTH, SEGMENT_SIZE_LENGTH)
        .with_u32(exthdr::OPERATION, exthdr::OPERATION_TCP_OPTION)
}
