//! What gateways tell each other of packets that go packed while traffic moves from one gateway to another.

use std::collections::BTreeSet;
use std::ops::BitOr;

use carrick_topology::NodeName;

/// What one gateway says to another of what they forward to each other; a set, which `|` joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandoverFlags(u8);

impl HandoverFlags {
    /// Nothing is said.
    pub const NONE: Self = Self(0);
    /// "What I forward to you goes packed."
    pub const PACKS: Self = Self(1 << 5);
    /// "I take packed what you forward to me."
    pub const UNPACKS: Self = Self(1 << 6);

    /// Whether what is forwarded goes packed.
    #[must_use]
    pub const fn packs(self) -> bool {
        self.has(Self::PACKS)
    }

    /// Whether packed packets are taken.
    #[must_use]
    pub const fn unpacks(self) -> bool {
        self.has(Self::UNPACKS)
    }

    /// As they go over the wire.
    pub(crate) const fn to_bits(self) -> u8 {
        self.0
    }

    /// As they came over the wire, beside other bits.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        Self(bits & (Self::PACKS.0 | Self::UNPACKS.0))
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
pub struct Handover {
    /// Nodes that packed packets would reach, as far as this kernel can tell: they are tried with a packed probe.
    pub leads_to: BTreeSet<NodeName>,
    /// Nodes to which forwarded packets go packed.
    pub packs_to: BTreeSet<NodeName>,
    /// Nodes from which packed packets are accepted.
    pub unpacks_from: BTreeSet<NodeName>,
}

/// How many of the nodes from which packed packets are accepted say that they pack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Packed {
    /// None of them, or there are none.
    #[default]
    Nobody,
    /// Not all of them.
    Some,
    /// All of them.
    All,
}

impl Packed {
    /// By what each of them says.
    pub(crate) fn by(said: impl IntoIterator<Item = HandoverFlags>) -> Self {
        let (pack, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|flags| flags.packs());
        match (pack.is_empty(), others.is_empty()) {
            (true, _) => Self::Nobody,
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
        let says = |flags: HandoverFlags| (flags.packs(), flags.unpacks());
        assert_eq!(says(HandoverFlags::NONE), (false, false));
        assert_eq!(says(HandoverFlags::PACKS), (true, false));
        assert_eq!(says(HandoverFlags::UNPACKS), (false, true));
        assert_eq!(says(HandoverFlags::PACKS | HandoverFlags::UNPACKS), (true, true));
    }

    #[test]
    fn it_is_counted_who_packs() {
        let (packs, silent) = (HandoverFlags::PACKS, HandoverFlags::UNPACKS);
        assert_eq!(Packed::by([]), Packed::Nobody);
        assert_eq!(Packed::by([silent, silent]), Packed::Nobody);
        assert_eq!(Packed::by([silent, packs]), Packed::Some);
        assert_eq!(Packed::by([packs, packs | silent]), Packed::All);
    }
}
