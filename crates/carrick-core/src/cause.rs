//! Why the kernel is compared with the plan.

use std::fmt;

/// Why the kernel is compared with the plan. How soon that happens and how its result is reported depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The plan differs from the plan before it.
    Plan,
    /// A preshared key became known, or its Secret holds another key than before.
    PresharedKey,
    /// The last apply failed, or it waits for something that the agent cannot provide.
    Retry,
    /// The kernel sends no notification when WireGuard's configuration or some kernel settings change, so that they are read periodically.
    WireGuardPoll,
    /// Everything is compared periodically, in case a notification was lost.
    Periodic,
    /// One of the host's devices is up again. The kernel dropped the IPv4 routes over it when it went down.
    UplinkUp,
    /// The kernel notified of a change that the agent did not make.
    Drift(DriftKind),
}

/// What a notification of the kernel is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriftKind {
    /// One of Carrick's devices was created, changed or removed.
    Device,
    /// An address of one of Carrick's devices was removed.
    Address,
    /// A route in Carrick's routing table.
    Route,
    /// A rule of Carrick's, or a rule in its place.
    Rule,
    /// Neighbours or forwarding entries of one of Carrick's devices.
    Neighbours,
    /// A kernel setting (`net.ipv4.conf`, `net.ipv6.conf`) of all devices or of one of Carrick's devices was written.
    Setting,
    /// A transaction on the nftables ruleset was committed; the kernel does not say which table it changed.
    Nftables,
    /// The kernel dropped notifications: anything may have changed.
    Lost,
}

impl Cause {
    /// Whether an apply for this cause that changes the kernel puts right what others changed.
    ///
    /// What a new plan, a new key or a retry writes was not there before, so that it repairs nothing.
    #[must_use]
    pub const fn is_repair(self) -> bool {
        match self {
            Self::WireGuardPoll | Self::Periodic | Self::UplinkUp | Self::Drift(_) => true,
            Self::Plan | Self::PresharedKey | Self::Retry => false,
        }
    }

    /// Whether an apply for this cause waits until the back-off after failures and repairs is over.
    ///
    /// New content is applied at once. Drift is not: an apply that fails half-way causes notifications itself.
    #[must_use]
    pub const fn waits_for_backoff(self) -> bool {
        match self {
            Self::Plan | Self::PresharedKey => false,
            Self::Retry | Self::WireGuardPoll | Self::Periodic | Self::UplinkUp | Self::Drift(_) => true,
        }
    }

    /// Whether a repair for this cause delays the next one a little, so that the agent and another program that undo each other's changes
    /// do not take the whole processor. What is read periodically has a pause already.
    #[must_use]
    pub const fn delays_next_repair(self) -> bool {
        match self {
            Self::UplinkUp | Self::Drift(_) => true,
            Self::Plan | Self::PresharedKey | Self::Retry | Self::WireGuardPoll | Self::Periodic => false,
        }
    }

    /// Whether the data path may be gone, if it is a process of its own: its device then is too.
    #[must_use]
    pub const fn may_be_lost_data_path(self) -> bool {
        match self {
            Self::Drift(DriftKind::Device | DriftKind::Lost) => true,
            Self::Drift(
                DriftKind::Address
                | DriftKind::Route
                | DriftKind::Rule
                | DriftKind::Neighbours
                | DriftKind::Setting
                | DriftKind::Nftables,
            )
            | Self::Plan
            | Self::PresharedKey
            | Self::Retry
            | Self::WireGuardPoll
            | Self::Periodic
            | Self::UplinkUp => false,
        }
    }

    /// Whether other programs cause it all the time without touching anything of Carrick's, so that comparisons that find nothing must
    /// become rarer.
    #[must_use]
    pub const fn is_often_unrelated(self) -> bool {
        match self {
            Self::Drift(DriftKind::Nftables) => true,
            Self::Drift(
                DriftKind::Device
                | DriftKind::Address
                | DriftKind::Route
                | DriftKind::Rule
                | DriftKind::Neighbours
                | DriftKind::Setting
                | DriftKind::Lost,
            )
            | Self::Plan
            | Self::PresharedKey
            | Self::Retry
            | Self::WireGuardPoll
            | Self::Periodic
            | Self::UplinkUp => false,
        }
    }

    /// The label in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::PresharedKey => "preshared-key",
            Self::Retry => "retry",
            Self::WireGuardPoll => "poll",
            Self::Periodic => "periodic",
            Self::UplinkUp => "uplink",
            Self::Drift(DriftKind::Device) => "device",
            Self::Drift(DriftKind::Address) => "address",
            Self::Drift(DriftKind::Route) => "route",
            Self::Drift(DriftKind::Rule) => "rule",
            Self::Drift(DriftKind::Neighbours) => "neighbours",
            Self::Drift(DriftKind::Setting) => "setting",
            Self::Drift(DriftKind::Nftables) => "nftables",
            Self::Drift(DriftKind::Lost) => "lost",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
