//! What two gateways tell each other of the packets that they forward to each other.

use std::ops::BitOr;

/// A set of statements that one gateway makes to another; `|` joins two sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HandoverFlags(u8);

impl HandoverFlags {
    /// No statement.
    pub const NONE: Self = Self(0);
    /// "I encapsulate what I forward to you."
    pub const ENCAPSULATES: Self = Self(1 << 5);
    /// "I decapsulate what you forward to me: encapsulate it."
    pub const DECAPSULATES: Self = Self(1 << 6);

    /// Whether the gateway encapsulates what it forwards.
    #[must_use]
    pub const fn encapsulates(self) -> bool {
        self.has(Self::ENCAPSULATES)
    }

    /// Whether the gateway accepts encapsulated packets, and asks for them.
    #[must_use]
    pub const fn decapsulates(self) -> bool {
        self.has(Self::DECAPSULATES)
    }

    /// The bits on the wire.
    pub(crate) const fn to_bits(self) -> u8 {
        self.0
    }

    /// From a byte on the wire, which may hold other bits as well.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_the_statements_that_were_joined() {
        let says = |flags: HandoverFlags| (flags.encapsulates(), flags.decapsulates());
        assert_eq!(says(HandoverFlags::NONE), (false, false));
        assert_eq!(says(HandoverFlags::ENCAPSULATES), (true, false));
        assert_eq!(says(HandoverFlags::DECAPSULATES), (false, true));
        assert_eq!(says(HandoverFlags::ENCAPSULATES | HandoverFlags::DECAPSULATES), (true, true));
    }
}
