//! Rules, built from the conditions and actions that `nft` has words for.

mod actions;
mod instructions;
mod message;

use std::net::IpAddr;

use carrick_types::Family;

use super::expression::ProtocolFamily as _;
use super::expression::{
    ConntrackKey, ConntrackState, Direction, Expression, Header, Membership, MetaKey, Operator, Register,
};
use super::set::padded_interface_name;
use instructions::{address_words, compare, load_address, load_destination_port, load_meta, lookup, masked, octets};

const ICMP: u8 = 1;
const TCP: u8 = 6;
/// The protocol number of UDP (`IPPROTO_UDP`).
pub const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Byte of the TCP header that holds the flags, and two of them.
const TCP_FLAGS_OFFSET: u32 = 13;
const TCP_SYN: u8 = 0x02;
const TCP_RST: u8 = 0x04;
/// Bytes of a UDP header.
const UDP_HEADER_LENGTH: u32 = 8;
/// Bytes of the header of an ICMP error, behind which the packet is quoted.
const ICMP_HEADER_LENGTH: u32 = 8;
/// `RTN_LOCAL`.
const ROUTE_TYPE_LOCAL: u32 = 2;
/// `IPS_SRC_NAT`.
const CONNTRACK_SOURCE_NAT: u32 = 0x10;
/// `IPS_DST_NAT`.
const CONNTRACK_DESTINATION_NAT: u32 = 0x20;

/// An ordered list of instructions; a packet goes through them until one does not hold or gives a verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// The instructions.
    pub expressions: Vec<Expression>,
    /// Words for people, shown by `nft list` and `iptables -S`; up to 254 bytes.
    pub comment: Option<String>,
}

/// A condition on an interface's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceMatch<'a> {
    /// It is this.
    Is(&'a str),
    /// It is another, or there is none.
    IsNot(&'a str),
    /// It begins with this.
    StartsWith(&'a str),
    /// It does not begin with this.
    StartsNotWith(&'a str),
    /// It is in this set.
    In(&'a str),
    /// It is not in this set.
    NotIn(&'a str),
}

/// A condition on an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressMatch<'a> {
    /// It is this.
    Is(IpAddr),
    /// It is another.
    IsNot(IpAddr),
    /// It is in this set.
    In(&'a str),
    /// It is not in this set.
    NotIn(&'a str),
}

/// Where a packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This host.
    Local,
    /// A device.
    Received,
}

impl Rule {
    /// A rule without conditions and action.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Words for people.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// Appends instructions.
    #[must_use]
    pub fn with(mut self, expressions: impl IntoIterator<Item = Expression>) -> Self {
        self.expressions.extend(expressions);
        self
    }

    /// Only packets of this version; needed before addresses are looked at in a table of both.
    #[must_use]
    pub fn version(self, version: Family) -> Self {
        self.meta_is(MetaKey::Family, vec![version.number()])
    }

    /// Only packets that came in by such a device.
    #[must_use]
    pub fn input_interface(self, condition: InterfaceMatch<'_>) -> Self {
        self.interface(MetaKey::InputInterfaceName, condition)
    }

    /// Only packets that leave by such a device.
    #[must_use]
    pub fn output_interface(self, condition: InterfaceMatch<'_>) -> Self {
        self.interface(MetaKey::OutputInterfaceName, condition)
    }

    /// Only packets that this host sent itself, or only others; for the hooks behind routing.
    #[must_use]
    pub fn origin(self, origin: Origin) -> Self {
        let operator = match origin {
            Origin::Local => Operator::Equal,
            Origin::Received => Operator::NotEqual,
        };
        self.with([load_meta(MetaKey::InputInterface), compare(operator, 0u32.to_ne_bytes().to_vec())])
    }

    /// Only packets with such a source. The rule must be limited to this version already.
    #[must_use]
    pub fn source(self, version: Family, condition: AddressMatch<'_>) -> Self {
        self.address(version, Direction::Source, condition)
    }

    /// Only packets with such a destination. The rule must be limited to this version already.
    #[must_use]
    pub fn destination(self, version: Family, condition: AddressMatch<'_>) -> Self {
        self.address(version, Direction::Destination, condition)
    }

    /// Only packets of this transport protocol (`IPPROTO_*`).
    #[must_use]
    pub fn protocol(self, number: u8) -> Self {
        self.meta_is(MetaKey::TransportProtocol, vec![number])
    }

    /// Only packets from this port. The rule must be limited to a protocol with ports already.
    #[must_use]
    pub fn source_port(self, port: u16) -> Self {
        let load = Expression::Payload { base: Header::Transport, offset: 0, length: 2, destination: Register::FIRST };
        self.with([load, compare(Operator::Equal, port.to_be_bytes().to_vec())])
    }

    /// Only packets to this port. The rule must be limited to a protocol with ports already.
    #[must_use]
    pub fn destination_port(self, port: u16) -> Self {
        self.with([load_destination_port(Register::FIRST), compare(Operator::Equal, port.to_be_bytes().to_vec())])
    }

    /// Only UDP packets that have these bytes, up to 16, at this offset behind the UDP header. The rule must be limited to UDP already.
    #[must_use]
    pub fn udp_payload(self, offset: u32, bytes: &[u8]) -> Self {
        self.transport_bytes(UDP_HEADER_LENGTH + offset, Operator::Equal, bytes)
    }

    /// Only ICMPv6 messages of this type (RFC 4443 §2.1). The rule must be limited to IPv6 already.
    #[must_use]
    pub fn icmpv6_type(self, number: u8) -> Self {
        let load = Expression::Payload { base: Header::Transport, offset: 0, length: 1, destination: Register::FIRST };
        self.protocol(ICMPV6).with([load, compare(Operator::Equal, vec![number])])
    }

    /// Only messages that a packet is too large for a path (RFC 792 "fragmentation needed", RFC 4443 §3.2). The rule must be limited to this version
    /// already.
    #[must_use]
    pub fn packet_too_big(self, version: Family) -> Self {
        match version {
            Family::V4 => self.protocol(ICMP).transport_bytes(0, Operator::Equal, &[3, 4]),
            Family::V6 => self.icmpv6_type(2),
        }
    }

    /// Only ICMP errors that quote a packet whose IP header begins with these bytes at this offset, or does not, up to 16 bytes.
    #[must_use]
    pub fn quotes(self, operator: Operator, offset: u32, bytes: &[u8]) -> Self {
        self.transport_bytes(ICMP_HEADER_LENGTH + offset, operator, bytes)
    }

    fn transport_bytes(self, offset: u32, operator: Operator, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let load = Expression::Payload { base: Header::Transport, offset, length, destination: Register::FIRST };
        self.with([load, compare(operator, bytes.to_vec())])
    }

    /// Only packets whose firewall mark has these bits under this mask.
    #[must_use]
    pub fn mark(self, mask: u32, bits: u32) -> Self {
        self.with([
            load_meta(MetaKey::Mark),
            masked(mask.to_ne_bytes().to_vec()),
            compare(Operator::Equal, bits.to_ne_bytes().to_vec()),
        ])
    }

    /// Only packets whose connection is in one of these states.
    #[must_use]
    pub fn connection_state(self, states: &[ConntrackState]) -> Self {
        let bits = states.iter().fold(0, |bits, state| bits | *state as u32);
        self.with([
            Expression::Conntrack { key: ConntrackKey::State, destination: Register::FIRST },
            masked(bits.to_ne_bytes().to_vec()),
            compare(Operator::NotEqual, 0u32.to_ne_bytes().to_vec()),
        ])
    }

    /// Only packets in the direction of the first packet of their connection: no replies (`ct direction original`).
    #[must_use]
    pub fn is_no_reply(self) -> Self {
        self.with([
            Expression::Conntrack { key: ConntrackKey::Direction, destination: Register::FIRST },
            compare(Operator::Equal, vec![0]),
        ])
    }

    /// Only TCP segments that open a connection (`SYN` set, `RST` not).
    #[must_use]
    pub fn opens_tcp(self) -> Self {
        self.protocol(TCP).with([
            Expression::Payload {
                base: Header::Transport,
                offset: TCP_FLAGS_OFFSET,
                length: 1,
                destination: Register::FIRST,
            },
            masked(vec![TCP_SYN | TCP_RST]),
            compare(Operator::Equal, vec![TCP_SYN]),
        ])
    }

    /// Only packets whose source and destination are, in this order, an element of this set. The rule must be
    /// limited to this version already.
    #[must_use]
    pub fn address_pair_in(self, version: Family, set: &str) -> Self {
        let words = address_words(version);
        self.with([
            load_address(version, Direction::Source, Register::FIRST),
            load_address(version, Direction::Destination, Register::FIRST.offset(words)),
            lookup(set, Membership::In),
        ])
    }

    /// Only packets to one of this host's own addresses.
    #[must_use]
    pub fn destination_is_local(self) -> Self {
        self.with([
            Expression::AddressType { direction: Direction::Destination, destination: Register::FIRST },
            compare(Operator::Equal, ROUTE_TYPE_LOCAL.to_ne_bytes().to_vec()),
        ])
    }

    /// Only packets to which no answer would leave by the device that they came in by.
    #[must_use]
    pub fn reverse_path_missing(self) -> Self {
        self.with([Expression::ReversePath { destination: Register::FIRST }, compare(Operator::Equal, vec![0; 4])])
    }

    /// Only packets of connections whose source is translated (`ct status snat`).
    #[must_use]
    pub fn source_was_translated(self) -> Self {
        self.conntrack_status(CONNTRACK_SOURCE_NAT)
    }

    /// Only packets whose connection has another destination than its first packet said.
    #[must_use]
    pub fn destination_was_translated(self) -> Self {
        self.conntrack_status(CONNTRACK_DESTINATION_NAT)
    }

    fn conntrack_status(self, bit: u32) -> Self {
        self.with([
            Expression::Conntrack { key: ConntrackKey::Status, destination: Register::FIRST },
            masked(bit.to_ne_bytes().to_vec()),
            compare(Operator::NotEqual, vec![0; 4]),
        ])
    }

    fn meta_is(self, key: MetaKey, value: Vec<u8>) -> Self {
        self.with([load_meta(key), compare(Operator::Equal, value)])
    }

    fn interface(self, key: MetaKey, condition: InterfaceMatch<'_>) -> Self {
        let exactly = |name| padded_interface_name(name).to_vec();
        let condition = match condition {
            InterfaceMatch::Is(name) => compare(Operator::Equal, exactly(name)),
            InterfaceMatch::IsNot(name) => compare(Operator::NotEqual, exactly(name)),
            InterfaceMatch::StartsWith(prefix) => compare(Operator::Equal, prefix.as_bytes().to_vec()),
            InterfaceMatch::StartsNotWith(prefix) => compare(Operator::NotEqual, prefix.as_bytes().to_vec()),
            InterfaceMatch::In(set) => lookup(set, Membership::In),
            InterfaceMatch::NotIn(set) => lookup(set, Membership::NotIn),
        };
        self.with([load_meta(key), condition])
    }

    fn address(self, version: Family, direction: Direction, condition: AddressMatch<'_>) -> Self {
        let condition = match condition {
            AddressMatch::Is(address) => compare(Operator::Equal, octets(address)),
            AddressMatch::IsNot(address) => compare(Operator::NotEqual, octets(address)),
            AddressMatch::In(set) => lookup(set, Membership::In),
            AddressMatch::NotIn(set) => lookup(set, Membership::NotIn),
        };
        self.with([load_address(version, direction, Register::FIRST), condition])
    }
}
