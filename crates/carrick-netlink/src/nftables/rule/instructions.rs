//! The instructions that conditions and actions are made of.

use std::net::IpAddr;

use carrick_types::Family;

use crate::nftables::expression::ProtocolFamily as _;
use crate::nftables::expression::{Direction, Expression, Header, Membership, MetaKey, Operator, Register};

/// Where the destination port is in the headers of TCP, UDP and SCTP, in bytes.
const DESTINATION_PORT_OFFSET: u32 = 2;

pub(super) fn load_address(version: Family, direction: Direction, destination: Register) -> Expression {
    let (offset, length) = version.address_field(direction);
    Expression::Payload { base: Header::Network, offset, length, destination }
}

pub(super) fn load_destination_port(destination: Register) -> Expression {
    Expression::Payload { base: Header::Transport, offset: DESTINATION_PORT_OFFSET, length: 2, destination }
}

/// The registers that an address takes.
pub(super) const fn address_words(version: Family) -> u8 {
    match version {
        Family::V4 => 1,
        Family::V6 => 4,
    }
}

pub(super) fn load_meta(key: MetaKey) -> Expression {
    Expression::Meta { key, destination: Register::FIRST }
}

pub(super) fn compare(operator: Operator, value: Vec<u8>) -> Expression {
    Expression::Compare { source: Register::FIRST, operator, value }
}

pub(super) fn masked(mask: Vec<u8>) -> Expression {
    Expression::Bitwise { source: Register::FIRST, destination: Register::FIRST, xor: vec![0; mask.len()], mask }
}

pub(super) fn lookup(set: &str, membership: Membership) -> Expression {
    Expression::Lookup { set: set.to_owned(), source: Register::FIRST, membership }
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
