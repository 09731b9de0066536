//! How much of a plan an apply compares with the kernel.

/// How much of a plan an apply compares with the kernel, from little to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The WireGuard device alone.
    WireGuard,
    /// All that the plan names, but only those routes that differ from the plan that was applied before.
    Change,
    /// All that the plan names.
    Everything,
}
