//! Whether a node sends to another one by the tunnel that both probe.

/// What a probe says of the tunnel that it goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathUse {
    /// Nothing: its sender counts the probed node as down or sends around the tunnel, or its agent is of an earlier release.
    #[default]
    Unsaid,
    /// Its sender sends by the tunnel, and accepts by it all that the probed node carries.
    Used,
}

impl PathUse {
    const BIT: u8 = 1;

    /// The bits on the wire.
    pub(crate) const fn to_bits(self) -> u8 {
        match self {
            Self::Unsaid => 0,
            Self::Used => Self::BIT,
        }
    }

    /// From a byte on the wire, which may hold other bits as well.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        if bits & Self::BIT == 0 { Self::Unsaid } else { Self::Used }
    }
}
