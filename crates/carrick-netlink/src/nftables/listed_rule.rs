//! A rule with the number by which the kernel knows it.

use super::Rule;

/// A rule that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRule {
    /// The number by which the kernel knows it.
    pub handle: u64,
    /// What it does.
    pub rule: Rule,
}
