//! Sets and maps.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::{Intervals, Verdict};

/// The length of an interface name with its padding (`IFNAMSIZ`), in bytes.
pub(super) const INTERFACE_NAME_LENGTH: usize = 16;
/// Every field of a key begins on a register of this length, in bytes.
const WORD: usize = 4;
/// Bits of one field's type in the type of a concatenation, as `nft` writes it.
const TYPE_BITS: u32 = 6;
const TYPE_MASK: u32 = (1 << TYPE_BITS) - 1;

/// A set, or a map from keys to values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What a key consists of, in order.
    pub key: Vec<Field>,
    /// What a key leads to.
    pub target: Target,
    /// The elements.
    pub elements: Elements,
}

/// One part of a key or of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `ipv4_addr`
    Ipv4Address,
    /// `ipv6_addr`
    Ipv6Address,
    /// `inet_proto`
    Protocol,
    /// `inet_service`
    Port,
    /// `ifname`
    InterfaceName,
    /// A type outside this vocabulary: its number and its length in bytes.
    Foreign(u32, usize),
}

/// What the keys of a set lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nothing: a set.
    Nothing,
    /// A value of these fields: a map.
    Fields(Vec<Field>),
    /// A verdict: a verdict map.
    Verdict,
}

/// What is in a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elements {
    /// Single keys and what they lead to.
    Keys(BTreeMap<Key, Value>),
    /// Ranges of one address field.
    Intervals(Intervals),
}

/// A key or value, every field padded to a multiple of four bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

/// What one key leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Nothing.
    Nothing,
    /// Fields.
    Fields(Key),
    /// A verdict.
    Verdict(Verdict),
}

impl Set {
    /// A set of IPv4 networks, which may overlap.
    #[must_use]
    pub fn ipv4_networks(networks: impl IntoIterator<Item = Ipv4Net>) -> Self {
        Self {
            key: vec![Field::Ipv4Address],
            target: Target::Nothing,
            elements: Elements::Intervals(Intervals::of_ipv4(networks)),
        }
    }

    /// A set of IPv6 networks, which may overlap.
    #[must_use]
    pub fn ipv6_networks(networks: impl IntoIterator<Item = Ipv6Net>) -> Self {
        Self {
            key: vec![Field::Ipv6Address],
            target: Target::Nothing,
            elements: Elements::Intervals(Intervals::of_ipv6(networks)),
        }
    }

    /// A set of interface names.
    #[must_use]
    pub fn interface_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let keys = names.into_iter().map(|name| (Key::new().interface_name(name), Value::Nothing));
        Self { key: vec![Field::InterfaceName], target: Target::Nothing, elements: Elements::Keys(keys.collect()) }
    }

    /// A map from keys to values.
    #[must_use]
    pub fn map(
        key: impl Into<Vec<Field>>,
        value: impl Into<Vec<Field>>,
        elements: impl IntoIterator<Item = (Key, Key)>,
    ) -> Self {
        let elements = elements.into_iter().map(|(key, value)| (key, Value::Fields(value)));
        Self { key: key.into(), target: Target::Fields(value.into()), elements: Elements::Keys(elements.collect()) }
    }

    /// A map from keys to verdicts.
    #[must_use]
    pub fn verdict_map(key: impl Into<Vec<Field>>, elements: impl IntoIterator<Item = (Key, Verdict)>) -> Self {
        let elements = elements.into_iter().map(|(key, verdict)| (key, Value::Verdict(verdict)));
        Self { key: key.into(), target: Target::Verdict, elements: Elements::Keys(elements.collect()) }
    }

    /// Whether keys and values of both have the same form, whatever elements they hold.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let is_same_kind = matches!(
            (&self.elements, &other.elements),
            (Elements::Keys(_), Elements::Keys(_)) | (Elements::Intervals(_), Elements::Intervals(_))
        );
        self.key == other.key && self.target == other.target && is_same_kind
    }
}

impl Elements {
    /// The elements of this that the other does not hold in exactly this form.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        match (self, other) {
            (Elements::Keys(mine), Elements::Keys(theirs)) => Elements::Keys(
                mine.iter()
                    .filter(|(key, value)| theirs.get(key) != Some(value))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            ),
            (Elements::Intervals(mine), Elements::Intervals(theirs)) => Elements::Intervals(mine.without(theirs)),
            (mine, _) => mine.clone(),
        }
    }

    /// The number of keys or ranges.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Elements::Keys(keys) => keys.len(),
            Elements::Intervals(intervals) => intervals.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Key {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The fields as the kernel compares them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends an IPv4 address.
    #[must_use]
    pub fn ipv4(self, address: Ipv4Addr) -> Self {
        self.field(&address.octets())
    }

    /// Appends an IPv6 address.
    #[must_use]
    pub fn ipv6(self, address: Ipv6Addr) -> Self {
        self.field(&address.octets())
    }

    /// Appends a protocol number (`IPPROTO_*`).
    #[must_use]
    pub fn protocol(self, number: u8) -> Self {
        self.field(&[number])
    }

    /// Appends a port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.field(&port.to_be_bytes())
    }

    /// Appends an interface name; what exceeds 15 bytes is cut off.
    #[must_use]
    pub fn interface_name(self, name: &str) -> Self {
        self.field(&padded_interface_name(name))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self::new().field(bytes)
    }

    /// The bytes as the kernel wants them for these fields: a single field goes without its padding.
    pub(crate) fn bytes_for(&self, fields: &[Field]) -> &[u8] {
        match fields {
            [single] => self.0.get(..single.length()).unwrap_or(&self.0),
            _ => &self.0,
        }
    }

    fn field(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(WORD), 0);
        self
    }
}

impl Field {
    /// The number that `nft` gives the type (`enum datatypes`); the kernel stores it without reading it.
    pub(super) fn type_number(self) -> u32 {
        match self {
            Field::Ipv4Address => 7,
            Field::Ipv6Address => 8,
            Field::Protocol => 12,
            Field::Port => 13,
            Field::InterfaceName => 41,
            Field::Foreign(number, _) => number,
        }
    }

    pub(super) fn length(self) -> usize {
        match self {
            Field::Ipv4Address => 4,
            Field::Ipv6Address | Field::InterfaceName => INTERFACE_NAME_LENGTH,
            Field::Protocol => 1,
            Field::Port => 2,
            Field::Foreign(_, length) => length,
        }
    }

    /// The type number of several fields one behind the other.
    pub(super) fn concatenated_type(fields: &[Field]) -> u32 {
        fields.iter().fold(0, |sum, field| (sum << TYPE_BITS) | field.type_number())
    }

    /// The bytes of several fields one behind the other.
    pub(crate) fn concatenated_length(fields: &[Field]) -> usize {
        match fields {
            [single] => single.length(),
            _ => fields.iter().map(|field| field.length().next_multiple_of(WORD)).sum(),
        }
    }

    /// The fields behind a type number, or one foreign field where the number or the length is of another world.
    pub(super) fn from_type(mut number: u32, length: usize) -> Vec<Field> {
        let whole = number;
        let mut fields = Vec::new();
        while number != 0 {
            fields.insert(0, Self::from_single(number & TYPE_MASK));
            number >>= TYPE_BITS;
        }
        let fields: Option<Vec<Field>> = fields.into_iter().collect();
        fields
            .filter(|fields| Self::concatenated_length(fields) == length)
            .unwrap_or_else(|| vec![Field::Foreign(whole, length)])
    }

    fn from_single(number: u32) -> Option<Self> {
        [Field::Ipv4Address, Field::Ipv6Address, Field::Protocol, Field::Port, Field::InterfaceName]
            .into_iter()
            .find(|field| field.type_number() == number)
    }
}

/// An interface name as registers hold it.
pub(super) fn padded_interface_name(name: &str) -> [u8; INTERFACE_NAME_LENGTH] {
    let mut padded = [0; INTERFACE_NAME_LENGTH];
    let room = &mut padded[..INTERFACE_NAME_LENGTH - 1];
    for (byte, slot) in name.bytes().zip(room) {
        *slot = byte;
    }
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concatenations_have_the_type_and_length_that_nft_gives_them() {
        let key = [Field::Protocol, Field::Port];
        assert_eq!(Field::concatenated_type(&key), 0x30d);
        assert_eq!(Field::concatenated_length(&key), 8);
        assert_eq!(Field::from_type(0x30d, 8), key);
        let value = [Field::Ipv4Address, Field::Port];
        assert_eq!(Field::concatenated_type(&value), 0x1cd);
    }

    #[test]
    fn types_of_others_are_kept_apart() {
        assert_eq!(Field::from_type(19, 4), [Field::Foreign(19, 4)]);
        assert_eq!(Field::from_type(7, 8), [Field::Foreign(7, 8)]);
    }

    #[test]
    fn keys_are_padded_field_by_field() {
        let key = Key::new().protocol(6).port(80);
        assert_eq!(key.bytes_for(&[Field::Protocol, Field::Port]), [6, 0, 0, 0, 0, 80, 0, 0]);
        let port = Key::new().port(80);
        assert_eq!(port.bytes_for(&[Field::Port]), [0, 80]);
        assert_eq!(Key::from_bytes(&[0, 80]), port);
    }
}
