//! Instructions as the kernel tells them.

use super::encode::{SEGMENT_SIZE_LENGTH, SEGMENT_SIZE_OFFSET, SEGMENT_SIZE_OPTION, fib_flag, nat_type};
use carrick_types::Family;

use super::{
    ConntrackKey, Direction, Expression, Header, Membership, MetaKey, Operator, PortChoice, Register, Verdict,
};
use crate::nftables::abi::data;
use crate::nftables::abi::expression::{
    bitwise, byteorder, compare, conntrack, extension, exthdr, fib, immediate, lookup, masquerade, meta, nat, payload,
    route,
};
use crate::nftables::attribute::Received;

const WORDS_PER_OLD_REGISTER: u32 = 4;

impl Expression {
    /// Reads one instruction; whatever is outside the vocabulary becomes [`Expression::Foreign`].
    pub(in crate::nftables) fn decode(expression: Received<'_>) -> Self {
        let name = expression.text(data::EXPRESSION_NAME).unwrap_or_default();
        let attributes = expression.nested(data::EXPRESSION_DATA).unwrap_or(Received::new(&[]));
        known(&name, attributes).unwrap_or_else(|| Expression::Foreign(foreign(name, attributes)))
    }
}

/// Extensions of iptables (`match`, `target`) carry their own name.
fn foreign(name: String, attributes: Received<'_>) -> String {
    match (name.as_str(), attributes.text(extension::NAME)) {
        ("match" | "target", Some(extension)) => format!("{name} {extension}"),
        _ => name,
    }
}

fn known(name: &str, attributes: Received<'_>) -> Option<Expression> {
    match name {
        "meta" => meta(attributes),
        "payload" => payload(attributes),
        "bitwise" => bitwise(attributes),
        "byteorder" => host_to_network(attributes),
        "cmp" => compare(attributes),
        "lookup" => lookup(attributes),
        "immediate" => immediate(attributes),
        "ct" => conntrack(attributes),
        "fib" => address_type(attributes).or_else(|| reverse_path(attributes)),
        "counter" => Some(Expression::Counter),
        "notrack" => Some(Expression::NoTrack),
        "masq" => masquerade(attributes),
        "nat" => nat(attributes),
        "rt" => route(attributes),
        "exthdr" => segment_size(attributes),
        "reject" => Some(Expression::Reject),
        _ => None,
    }
}

fn meta(attributes: Received<'_>) -> Option<Expression> {
    let key = MetaKey::from_number(attributes.u32(meta::KEY)?)?;
    if let Some(source) = register(attributes, meta::SOURCE) {
        return Some(Expression::SetMeta { key, source });
    }
    Some(Expression::Meta { key, destination: register(attributes, meta::DESTINATION)? })
}

fn payload(attributes: Received<'_>) -> Option<Expression> {
    Some(Expression::Payload {
        base: match attributes.u32(payload::BASE)? {
            1 => Header::Network,
            2 => Header::Transport,
            _ => return None,
        },
        offset: attributes.u32(payload::OFFSET)?,
        length: attributes.u32(payload::LENGTH)?,
        destination: register(attributes, payload::DESTINATION)?,
    })
}

fn bitwise(attributes: Received<'_>) -> Option<Expression> {
    if attributes.u32(bitwise::OPERATION).unwrap_or(0) != 0 {
        return None;
    }
    Some(Expression::Bitwise {
        source: register(attributes, bitwise::SOURCE)?,
        destination: register(attributes, bitwise::DESTINATION)?,
        mask: value(attributes.nested(bitwise::MASK)?)?,
        xor: value(attributes.nested(bitwise::XOR)?)?,
    })
}

fn host_to_network(attributes: Received<'_>) -> Option<Expression> {
    let numbers = [byteorder::OPERATION, byteorder::LENGTH, byteorder::SIZE].map(|kind| attributes.u32(kind));
    (numbers == [Some(1), Some(2), Some(2)]).then_some(())?;
    Some(Expression::HostToNetwork16 {
        source: register(attributes, byteorder::SOURCE)?,
        destination: register(attributes, byteorder::DESTINATION)?,
    })
}

fn compare(attributes: Received<'_>) -> Option<Expression> {
    Some(Expression::Compare {
        source: register(attributes, compare::SOURCE)?,
        operator: Operator::from_number(attributes.u32(compare::OPERATOR)?)?,
        value: value(attributes.nested(compare::DATA)?)?,
    })
}

fn lookup(attributes: Received<'_>) -> Option<Expression> {
    let name = attributes.text(lookup::SET)?;
    let source = register(attributes, lookup::SOURCE)?;
    let membership = match attributes.u32(lookup::FLAGS).unwrap_or(0) {
        0 => Membership::In,
        lookup::FLAG_INVERTED => Membership::NotIn,
        _ => return None,
    };
    match (attributes.u32(lookup::DESTINATION), membership) {
        (None, membership) => Some(Expression::Lookup { set: name, source, membership }),
        (Some(immediate::VERDICT_REGISTER), Membership::In) => Some(Expression::VerdictLookup { map: name, source }),
        (Some(_), Membership::In) => {
            Some(Expression::MapLookup { map: name, source, destination: register(attributes, lookup::DESTINATION)? })
        }
        (Some(_), Membership::NotIn) => None,
    }
}

fn immediate(attributes: Received<'_>) -> Option<Expression> {
    let constant = attributes.nested(immediate::DATA)?;
    if attributes.u32(immediate::DESTINATION)? == immediate::VERDICT_REGISTER {
        return Verdict::decode(constant).map(Expression::Verdict);
    }
    Some(Expression::Immediate { value: value(constant)?, destination: register(attributes, immediate::DESTINATION)? })
}

fn conntrack(attributes: Received<'_>) -> Option<Expression> {
    Some(Expression::Conntrack {
        key: match attributes.u32(conntrack::KEY)? {
            0 => ConntrackKey::State,
            1 => ConntrackKey::Direction,
            2 => ConntrackKey::Status,
            3 => ConntrackKey::Mark,
            _ => return None,
        },
        destination: register(attributes, conntrack::DESTINATION)?,
    })
}

fn address_type(attributes: Received<'_>) -> Option<Expression> {
    if attributes.u32(fib::RESULT)? != fib::RESULT_ADDRESS_TYPE {
        return None;
    }
    let flags = attributes.u32(fib::FLAGS)?;
    Some(Expression::AddressType {
        direction: [Direction::Source, Direction::Destination]
            .into_iter()
            .find(|direction| fib_flag(*direction) == flags)?,
        destination: register(attributes, fib::DESTINATION)?,
    })
}

fn reverse_path(attributes: Received<'_>) -> Option<Expression> {
    let numbers = [fib::RESULT, fib::FLAGS].map(|kind| attributes.u32(kind));
    (numbers == [Some(fib::RESULT_OUTPUT_INTERFACE), Some(fib::FLAGS_REVERSE_PATH)]).then_some(())?;
    Some(Expression::ReversePath { destination: register(attributes, fib::DESTINATION)? })
}

fn masquerade(attributes: Received<'_>) -> Option<Expression> {
    (attributes.u32(masquerade::FLAGS) == Some(masquerade::FULLY_RANDOM)).then_some(Expression::Masquerade)
}

fn nat(attributes: Received<'_>) -> Option<Expression> {
    let kind = attributes.u32(nat::TYPE)?;
    let address = attributes.u32(nat::ADDRESS);
    let port = attributes.u32(nat::PORT);
    let is_range = attributes.u32(nat::ADDRESS_MAX).is_some_and(|max| Some(max) != address)
        || attributes.u32(nat::PORT_MAX).is_some_and(|max| Some(max) != port);
    let flags = attributes.u32(nat::FLAGS).unwrap_or(0) & !nat::DERIVED_FLAGS;
    let choice = match flags {
        0 => PortChoice::Kept,
        masquerade::FULLY_RANDOM => PortChoice::Random,
        _ => return None,
    };
    if is_range {
        return None;
    }
    Some(Expression::Nat {
        direction: [Direction::Source, Direction::Destination]
            .into_iter()
            .find(|direction| nat_type(*direction) == kind)?,
        version: match attributes.u32(nat::FAMILY)? {
            2 => Family::V4,
            10 => Family::V6,
            _ => return None,
        },
        address: register(attributes, nat::ADDRESS),
        port: register(attributes, nat::PORT),
        choice,
    })
}

fn route(attributes: Received<'_>) -> Option<Expression> {
    if attributes.u32(route::KEY)? != route::KEY_TCP_MSS {
        return None;
    }
    Some(Expression::RouteSegmentSize { destination: register(attributes, route::DESTINATION)? })
}

fn segment_size(attributes: Received<'_>) -> Option<Expression> {
    let is_segment_size = attributes.bytes(exthdr::TYPE) == Some(&[SEGMENT_SIZE_OPTION])
        && attributes.u32(exthdr::OFFSET) == Some(SEGMENT_SIZE_OFFSET)
        && attributes.u32(exthdr::LENGTH) == Some(SEGMENT_SIZE_LENGTH)
        && attributes.u32(exthdr::OPERATION) == Some(exthdr::OPERATION_TCP_OPTION);
    is_segment_size.then_some(())?;
    if let Some(source) = register(attributes, exthdr::SOURCE) {
        return Some(Expression::LowerSegmentSize { source });
    }
    Some(Expression::SegmentSize { destination: register(attributes, exthdr::DESTINATION)? })
}

impl Verdict {
    /// Reads the value of a register or of a map.
    pub(in crate::nftables) fn decode(constant: Received<'_>) -> Option<Self> {
        let verdict = constant.nested(data::VERDICT)?;
        let chain = || verdict.text(data::VERDICT_CHAIN);
        match verdict.u32(data::VERDICT_CODE)?.cast_signed() {
            0 => Some(Verdict::Drop),
            1 => Some(Verdict::Accept),
            -3 => chain().map(Verdict::Jump),
            -4 => chain().map(Verdict::Goto),
            -5 => Some(Verdict::Return),
            _ => None,
        }
    }
}

impl MetaKey {
    fn from_number(number: u32) -> Option<Self> {
        [
            MetaKey::Mark,
            MetaKey::InputInterface,
            MetaKey::OutputInterface,
            MetaKey::InputInterfaceName,
            MetaKey::OutputInterfaceName,
            MetaKey::Family,
            MetaKey::TransportProtocol,
        ]
        .into_iter()
        .find(|key| *key as u32 == number)
    }
}

impl Operator {
    fn from_number(number: u32) -> Option<Self> {
        [
            Operator::Equal,
            Operator::NotEqual,
            Operator::Less,
            Operator::LessOrEqual,
            Operator::Greater,
            Operator::GreaterOrEqual,
        ]
        .into_iter()
        .find(|operator| *operator as u32 == number)
    }
}

/// Reads a plain value (`NFTA_DATA_VALUE`).
pub(in crate::nftables) fn value(constant: Received<'_>) -> Option<Vec<u8>> {
    constant.bytes(data::VALUE).map(<[u8]>::to_vec)
}

/// The kernel names a register by its old 128-bit number (1 to 4) where it can, else by the 32-bit one (from 8).
fn register(attributes: Received<'_>, kind: u16) -> Option<Register> {
    let index = match attributes.u32(kind)? {
        number @ 1..=4 => (number - 1) * WORDS_PER_OLD_REGISTER,
        number @ 8..=23 => number - 8,
        _ => return None,
    };
    u8::try_from(index).ok().map(Register)
}
