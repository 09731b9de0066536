//! The expressions of a rule: small instructions that the kernel runs one after the other over registers.
//!
//! The types tell apart the expressions that Carrick writes. Every other expression, such as one in
//! another program's rule, is [`Expression::Foreign`], which equals no expression that Carrick writes.

mod decode;
mod encode;

use carrick_types::Family;

pub(super) use decode::value as plain_value;
pub(super) use encode::value as value_attributes;

/// One of the sixteen 32-bit registers; longer values occupy the following ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register(u8);

/// One instruction of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// Loads something that the kernel knows about the packet.
    Meta {
        /// What.
        key: MetaKey,
        /// Where to.
        destination: Register,
    },
    /// Changes something that the kernel knows about the packet, such as its mark.
    SetMeta {
        /// What.
        key: MetaKey,
        /// The new value.
        source: Register,
    },
    /// Loads bytes of the packet.
    Payload {
        /// Which header.
        base: Header,
        /// Bytes from the header's begin.
        offset: u32,
        /// Bytes.
        length: u32,
        /// Where to.
        destination: Register,
    },
    /// `(source & mask) ^ xor`.
    Bitwise {
        /// The value.
        source: Register,
        /// Where the result goes.
        destination: Register,
        /// As long as the value.
        mask: Vec<u8>,
        /// As long as the value.
        xor: Vec<u8>,
    },
    /// Swaps the bytes of a 16-bit host number into network order.
    HostToNetwork16 {
        /// The value.
        source: Register,
        /// Where the result goes.
        destination: Register,
    },
    /// Ends the rule unless the comparison holds. A value shorter than the register compares the first bytes only.
    Compare {
        /// The left side.
        source: Register,
        /// How.
        operator: Operator,
        /// The right side.
        value: Vec<u8>,
    },
    /// Ends the rule unless the value is, or is not, in a set of the same table.
    Lookup {
        /// The set's name.
        set: String,
        /// The value.
        source: Register,
        /// Which of both.
        membership: Membership,
    },
    /// Ends the rule unless the value is a key of a map of the same table; loads what it maps to.
    MapLookup {
        /// The map's name.
        map: String,
        /// The key.
        source: Register,
        /// Where the mapped value goes.
        destination: Register,
    },
    /// Ends the rule unless the value is a key of a verdict map of the same table; then gives its verdict.
    VerdictLookup {
        /// The map's name.
        map: String,
        /// The key.
        source: Register,
    },
    /// Loads a constant.
    Immediate {
        /// The constant.
        value: Vec<u8>,
        /// Where to.
        destination: Register,
    },
    /// Ends the rule with a verdict.
    Verdict(Verdict),
    /// Loads something that connection tracking knows about the packet.
    Conntrack {
        /// What.
        key: ConntrackKey,
        /// Where to.
        destination: Register,
    },
    /// Loads the kind of an address (`RTN_*`), as the routing tables know it.
    AddressType {
        /// Which address.
        direction: Direction,
        /// Where to.
        destination: Register,
    },
    /// Loads 1 where the routing tables lead back to the packet's source by the device that it came in by, else 0.
    ReversePath {
        /// Where to, a host number.
        destination: Register,
    },
    /// Counts packets and bytes. The counts are no part of a comparison.
    Counter,
    /// Exempts the packet from connection tracking (`notrack`).
    NoTrack,
    /// Gives the connection the address of the outgoing device as its source, and a random port (`fully-random`): connections that
    /// start at the same time on several processors rarely choose the same one, which would lose the packet of one of them.
    Masquerade,
    /// Gives the connection another source or destination.
    Nat {
        /// Which of both.
        direction: Direction,
        /// The version of the address.
        version: Family,
        /// The new address.
        address: Option<Register>,
        /// The new port.
        port: Option<Register>,
        /// How the kernel chooses the port where none is given.
        choice: PortChoice,
    },
    /// Loads the largest TCP segment that fits the route's MTU, both ways, as a 16-bit host number.
    RouteSegmentSize {
        /// Where to.
        destination: Register,
    },
    /// Loads the `MSS` option of a TCP segment, in network order; ends the rule where there is none.
    SegmentSize {
        /// Where to.
        destination: Register,
    },
    /// Lowers the `MSS` option of a TCP segment; the kernel never raises it.
    LowerSegmentSize {
        /// The new value, in network order.
        source: Register,
    },
    /// Answers the packet with a refusal and drops it (`reject`); only read, to find chains that end with it.
    Reject,
    /// Any other instruction: its name.
    Foreign(String),
}

/// How the kernel chooses the port of a connection that it translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortChoice {
    /// The connection's own port, unless another connection has it.
    Kept,
    /// A random one (`fully-random`), as for [`Expression::Masquerade`].
    Random,
}

/// What [`Expression::Meta`] loads (`enum nft_meta_keys`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum MetaKey {
    /// The firewall mark, a host number.
    Mark = 3,
    /// The index of the device that the packet came in by, a host number; 0 for the host's own packets.
    InputInterface = 4,
    /// The index of the device that the packet leaves by, a host number.
    OutputInterface = 5,
    /// The name of the device that the packet came in by, 16 bytes.
    InputInterfaceName = 6,
    /// The name of the device that the packet leaves by, 16 bytes.
    OutputInterfaceName = 7,
    /// `NFPROTO_*`, one byte.
    Family = 15,
    /// `IPPROTO_*`, one byte; behind IPv6 extension headers too.
    TransportProtocol = 16,
}

/// Which header [`Expression::Payload`] reads (`enum nft_payload_bases`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Header {
    /// IPv4 or IPv6.
    Network = 1,
    /// TCP, UDP and the like.
    Transport = 2,
}

/// How [`Expression::Compare`] compares (`enum nft_cmp_ops`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Operator {
    /// `==`
    Equal = 0,
    /// `!=`
    NotEqual = 1,
    /// `<`
    Less = 2,
    /// `<=`
    LessOrEqual = 3,
    /// `>`
    Greater = 4,
    /// `>=`
    GreaterOrEqual = 5,
}

/// What [`Expression::Lookup`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// The rule goes on if the value is in the set.
    In,
    /// The rule goes on if the value is not in the set.
    NotIn,
}

/// The end of a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The packet passes this base chain.
    Accept,
    /// The packet is gone.
    Drop,
    /// Back to the chain that jumped here; at a base chain's level, its policy.
    Return,
    /// On in another chain of the same table.
    Jump(String),
    /// On in another chain of the same table, without coming back.
    Goto(String),
}

/// What [`Expression::Conntrack`] loads (`enum nft_ct_keys`), host numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ConntrackKey {
    /// A bit set of [`ConntrackState`].
    State = 0,
    /// Whether the packet goes in the direction of the first packet of its connection (0) or back (1): one byte.
    Direction = 1,
    /// `IPS_*` bits, such as `IPS_DST_NAT` 0x20.
    Status = 2,
    /// The connection's mark.
    Mark = 3,
}

/// A bit of [`ConntrackKey::State`] (`NF_CT_STATE_BIT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum ConntrackState {
    /// It belongs to no connection.
    Invalid = 1,
    /// Part of a known connection.
    Established = 2,
    /// Belongs to a known connection, such as an ICMP error.
    Related = 4,
    /// The first packet of a connection.
    New = 8,
    /// Exempt from connection tracking.
    Untracked = 64,
}

/// The source or the destination of a packet or connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

impl Register {
    /// The first register.
    pub const FIRST: Register = Register(0);

    /// The register `words` 32-bit words behind this one, as far as there are any.
    #[must_use]
    pub const fn offset(self, words: u8) -> Register {
        let index = self.0 + words;
        Register(if index < Self::COUNT { index } else { Self::COUNT - 1 })
    }

    const COUNT: u8 = 16;
}

/// What nftables needs of an address family.
pub(super) trait ProtocolFamily {
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    fn number(self) -> u8;
    /// The offset of an address in the network header, and its length, in bytes.
    fn address_field(self, direction: Direction) -> (u32, u32);
}

impl ProtocolFamily for Family {
    fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    fn address_field(self, direction: Direction) -> (u32, u32) {
        match (self, direction) {
            (Self::V4, Direction::Source) => (12, 4),
            (Self::V4, Direction::Destination) => (16, 4),
            (Self::V6, Direction::Source) => (8, 16),
            (Self::V6, Direction::Destination) => (24, 16),
        }
    }
}
