//! What gateways tell each other of packets that go encapsulated while traffic moves from one gateway to another.

use std::collections::BTreeSet;
use std::ops::BitOr;

use carrick_topology::NodeName;

/// What one gateway says to another of what they forward to each other; a set, which `|` joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandoverFlags(u8);

impl HandoverFlags {
    /// Nothing is said.
    pub const NONE: Self = Self(0);
    /// "What I forward to you goes encapsulated."
    pub const ENCAPSULATES: Self = Self(1 << 5);
    /// "I take encapsulated what you forward to me."
    pub const DECAPSULATES: Self = Self(1 << 6);

    /// Whether what is forwarded goes encapsulated.
    #[must_use]
    pub const fn encapsulates(self) -> bool {
        self.has(Self::ENCAPSULATES)
    }

    /// Whether encapsulated packets are taken.
    #[must_use]
    pub const fn decapsulates(self) -> bool {
        self.has(Self::DECAPSULATES)
    }

    /// As they go over the wire.
    pub(crate) const fn to_bits(self) -> u8 {
        self.0
    }

    /// As they came over the wire, beside other bits.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::ENCAPSULATES.0 | Self::DECAPSULATES.0))
    }

    const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }
}

impl BitOr for HandoverFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What the kernel holds by now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandoverInForce {
    /// Nodes that encapsulated packets would reach, as far as this kernel can tell: they are tried with a encapsulated probe.
    pub leads_to: BTreeSet<NodeName>,
    /// Nodes to which forwarded packets go encapsulated.
    pub encapsulates_to: BTreeSet<NodeName>,
    /// Nodes from which encapsulated packets are accepted.
    pub decapsulates_from: BTreeSet<NodeName>,
}

/// How many of the nodes from which encapsulated packets are accepted say that they encapsulate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EncapsulatingSenders {
    /// None of them, or there are none.
    #[default]
    None,
    /// Not all of them.
    Some,
    /// All of them.
    All,
}

impl EncapsulatingSenders {
    /// By what each of them says.
    pub(crate) fn by(said: impl IntoIterator<Item = HandoverFlags>) -> Self {
        let (encapsulate, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|flags| flags.encapsulates());
        match (encapsulate.is_empty(), others.is_empty()) {
            (true, _) => Self::None,
            (false, false) => Self::Some,
            (false, true) => Self::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let says = |flags: HandoverFlags| (flags.encapsulates(), flags.decapsulates());
        assert_eq!(says(HandoverFlags::NONE), (false, false));
        assert_eq!(says(HandoverFlags::ENCAPSULATES), (true, false));
        assert_eq!(says(HandoverFlags::DECAPSULATES), (false, true));
        assert_eq!(says(HandoverFlags::ENCAPSULATES | HandoverFlags::DECAPSULATES), (true, true));
    }

    #[test]
    fn it_is_counted_who_encapsulates() {
        let (encapsulates, silent) = (HandoverFlags::ENCAPSULATES, HandoverFlags::DECAPSULATES);
        assert_eq!(EncapsulatingSenders::by([]), EncapsulatingSenders::None);
        assert_eq!(EncapsulatingSenders::by([silent, silent]), EncapsulatingSenders::None);
        assert_eq!(EncapsulatingSenders::by([silent, encapsulates]), EncapsulatingSenders::Some);
        assert_eq!(EncapsulatingSenders::by([encapsulates, encapsulates | silent]), EncapsulatingSenders::All);
    }
}
