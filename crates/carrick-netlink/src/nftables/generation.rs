//! The number of nftables' latest change.

/// The number of the last change of anything in nftables, in this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(pub(super) u32);

impl Generation {
    /// The generation behind one more change.
    #[must_use]
    pub fn next(self) -> Self {
        // The kernel skips 0.
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}
