//! Rules, built from the conditions and actions that `nft` has words for.

mod message;

use std::net::IpAddr;

use carrick_types::Family;

use super::expression::ProtocolFamily as _;
use super::expression::{
    ConntrackKey, ConntrackState, Direction, Expression, Header, Membership, MetaKey, Operator, Register, Verdict,
};
use super::set::padded_interface_name;

const TCP: u8 = 6;
const ICMPV6: u8 = 58;
/// Byte of the TCP header that holds the flags, and two of them.
const TCP_FLAGS_OFFSET: u32 = 13;
const TCP_SYN: u8 = 0x02;
const TCP_RST: u8 = 0x04;
const DESTINATION_PORT_OFFSET: u32 = 2;
/// Bytes of a UDP header.
const UDP_HEADER_LENGTH: u32 = 8;
/// `RTN_LOCAL`.
const ROUTE_TYPE_LOCAL: u32 = 2;
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

    /// Only packets to this port. The rule must be limited to a protocol with ports already.
    #[must_use]
    pub fn destination_port(self, port: u16) -> Self {
        self.with([load_destination_port(Register::FIRST), compare(Operator::Equal, port.to_be_bytes().to_vec())])
    }

    /// Only UDP packets that have these bytes, up to 16, at this offset behind the UDP header. The rule must be limited to UDP already.
    #[must_use]
    pub fn udp_payload(self, offset: u32, bytes: &[u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let load = Expression::Payload {
            base: Header::Transport,
            offset: UDP_HEADER_LENGTH + offset,
            length,
            destination: Register::FIRST,
        };
        self.with([load, compare(Operator::Equal, bytes.to_vec())])
    }

    /// Only ICMPv6 messages of this type (RFC 4443 §2.1). The rule must be limited to IPv6 already.
    #[must_use]
    pub fn icmpv6_type(self, number: u8) -> Self {
        let load = Expression::Payload { base: Header::Transport, offset: 0, length: 1, destination: Register::FIRST };
        self.protocol(ICMPV6).with([load, compare(Operator::Equal, vec![number])])
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

    /// Counts the packets that come this far.
    #[must_use]
    pub fn counter(self) -> Self {
        self.with([Expression::Counter])
    }

    /// Lowers the `MSS` option of a TCP segment to what the route's MTU allows, both ways.
    #[must_use]
    pub fn clamp_segment_size(self) -> Self {
        let register = Register::FIRST;
        self.with([
            Expression::RouteSegmentSize { destination: register },
            Expression::HostToNetwork16 { source: register, destination: register },
            Expression::LowerSegmentSize { source: register },
        ])
    }

    /// Lowers the `MSS` option of a TCP segment to this many bytes.
    #[must_use]
    pub fn limit_segment_size(self, bytes: u16) -> Self {
        let register = Register::FIRST;
        self.with([
            Expression::Immediate { value: bytes.to_be_bytes().to_vec(), destination: register },
            Expression::LowerSegmentSize { source: register },
        ])
    }

    /// Sets the packet's firewall mark.
    #[must_use]
    pub fn set_mark(self, mark: u32) -> Self {
        self.with([
            Expression::Immediate { value: mark.to_ne_bytes().to_vec(), destination: Register::FIRST },
            Expression::SetMeta { key: MetaKey::Mark, source: Register::FIRST },
        ])
    }

    /// Gives the connection the address of the outgoing device as its source.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.with([Expression::Masquerade])
    }

    /// Gives the connection this source.
    #[must_use]
    pub fn source_nat(self, address: IpAddr) -> Self {
        self.with([
            Expression::Immediate { value: octets(address), destination: Register::FIRST },
            Expression::Nat {
                direction: Direction::Source,
                version: Family::of(&address),
                address: Some(Register::FIRST),
                port: None,
            },
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

    /// Only packets whose connection has another destination than its first packet said.
    #[must_use]
    pub fn destination_was_translated(self) -> Self {
        self.with([
            Expression::Conntrack { key: ConntrackKey::Status, destination: Register::FIRST },
            masked(CONNTRACK_DESTINATION_NAT.to_ne_bytes().to_vec()),
            compare(Operator::NotEqual, vec![0; 4]),
        ])
    }

    /// Gives the connection the address and port that a map holds for its destination address, protocol and
    /// destination port, where there is an entry; otherwise as [`Rule::destination_nat_by_port`].
    #[must_use]
    pub fn destination_nat_by_address(self, version: Family, map: &str) -> Self {
        let words = address_words(version);
        self.with([
            load_address(version, Direction::Destination, Register::FIRST),
            Expression::Meta { key: MetaKey::TransportProtocol, destination: Register::FIRST.offset(words) },
            load_destination_port(Register::FIRST.offset(words + 1)),
        ])
        .destination_nat_from(version, map)
    }

    /// Gives the connection the address and port that a map holds for its protocol and destination port,
    /// where there is an entry. The rule must be limited to this version and to protocols with ports already.
    #[must_use]
    pub fn destination_nat_by_port(self, version: Family, map: &str) -> Self {
        self.with([load_meta(MetaKey::TransportProtocol), load_destination_port(Register::FIRST.offset(1))])
            .destination_nat_from(version, map)
    }

    /// Ends with a verdict.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Self {
        self.with([Expression::Verdict(verdict)])
    }

    /// Ends with [`Verdict::Accept`].
    #[must_use]
    pub fn accept(self) -> Self {
        self.verdict(Verdict::Accept)
    }

    /// Ends with [`Verdict::Drop`].
    #[must_use]
    pub fn drop(self) -> Self {
        self.verdict(Verdict::Drop)
    }

    /// The key stands in the first register and those behind it; the value takes its place.
    fn destination_nat_from(self, version: Family, map: &str) -> Self {
        let address = Register::FIRST;
        self.with([
            Expression::MapLookup { map: map.to_owned(), source: Register::FIRST, destination: address },
            Expression::Nat {
                direction: Direction::Destination,
                version,
                address: Some(address),
                port: Some(address.offset(address_words(version))),
            },
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

fn load_address(version: Family, direction: Direction, destination: Register) -> Expression {
    let (offset, length) = version.address_field(direction);
    Expression::Payload { base: Header::Network, offset, length, destination }
}

fn load_destination_port(destination: Register) -> Expression {
    Expression::Payload { base: Header::Transport, offset: DESTINATION_PORT_OFFSET, length: 2, destination }
}

/// The registers that an address takes.
const fn address_words(version: Family) -> u8 {
    match version {
        Family::V4 => 1,
        Family::V6 => 4,
    }
}

fn load_meta(key: MetaKey) -> Expression {
    Expression::Meta { key, destination: Register::FIRST }
}

fn compare(operator: Operator, value: Vec<u8>) -> Expression {
    Expression::Compare { source: Register::FIRST, operator, value }
}

fn masked(mask: Vec<u8>) -> Expression {
    Expression::Bitwise { source: Register::FIRST, destination: Register::FIRST, xor: vec![0; mask.len()], mask }
}

fn lookup(set: &str, membership: Membership) -> Expression {
    Expression::Lookup { set: set.to_owned(), source: Register::FIRST, membership }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
