//! How long the phases of an apply take.

use std::time::{Duration, Instant};

/// How long each phase of an apply took. A phase that did not happen took no time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    /// Reading and changing nftables.
    pub firewall: Duration,
    /// Reading what the kernel holds.
    pub observe: Duration,
    /// Comparing it with the plan.
    pub compare: Duration,
    /// Changing it.
    pub apply: Duration,
}

impl Phases {
    /// Each phase with the name that metrics and logs use.
    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, Duration); 4] {
        let Self { firewall, observe, compare, apply } = *self;
        [("firewall", firewall), ("observe", observe), ("compare", compare), ("apply", apply)]
    }
}

/// Measures one phase after the other.
pub(crate) struct StopWatch(Instant);

impl StopWatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start, or since the lap before.
    pub(crate) fn lap(&mut self) -> Duration {
        let before = std::mem::replace(&mut self.0, Instant::now());
        self.0.saturating_duration_since(before)
    }
}
