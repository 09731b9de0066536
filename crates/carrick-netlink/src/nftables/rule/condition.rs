//! Conditions of rules on interfaces, addresses and the origin of a packet.

use std::net::IpAddr;

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
