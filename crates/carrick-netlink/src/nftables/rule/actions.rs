//! What a rule does with the packets that it selects.

use std::net::IpAddr;

use carrick_types::Family;

use super::Rule;
use super::instructions::{address_words, load_address, load_destination_port, load_meta, octets};
use crate::nftables::expression::{Direction, Expression, MetaKey, PortChoice, Register, Verdict};

impl Rule {
    /// Counts the packets that come this far.
    #[must_use]
    pub fn counter(self) -> Self {
        self.with([Expression::Counter])
    }

    /// Exempts the packet from connection tracking. For chains that packets enter before connection tracking
    /// ([`priority::RAW`](crate::nftables::priority::RAW)).
    #[must_use]
    pub fn no_track(self) -> Self {
        self.with([Expression::NoTrack])
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
        self.translate_source(address, PortChoice::Kept)
    }

    /// Gives the connection this source, and a random port (`fully-random`), as [`Rule::masquerade`] does.
    #[must_use]
    pub fn masquerade_as(self, address: IpAddr) -> Self {
        self.translate_source(address, PortChoice::Random)
    }

    fn translate_source(self, address: IpAddr, choice: PortChoice) -> Self {
        self.with([
            Expression::Immediate { value: octets(address), destination: Register::FIRST },
            Expression::Nat {
                direction: Direction::Source,
                version: Family::of(&address),
                address: Some(Register::FIRST),
                port: None,
                choice,
            },
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
                choice: PortChoice::Kept,
            },
        ])
    }
}
