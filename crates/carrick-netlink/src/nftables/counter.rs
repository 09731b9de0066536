//! What the counters of rules say.

/// A rule with a counter, and what the counter says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCounter {
    /// The chain of the rule.
    pub chain: String,
    /// The comment of the rule.
    pub comment: Option<String>,
    /// The packets that the rule has counted since it is in the kernel.
    pub packets: u64,
}
