//! A gateway that is or was down.

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;
use crate::flap_count::FlapCount;

/// A gateway loses its flap count after it has been live for this long.
const FLAP_DECAY: Duration = Duration::from_secs(900);

/// What is kept of a gateway that is or was down.
#[derive(Debug)]
pub(super) struct GatewayHistory {
    pub(super) state: State,
    pub(super) flap_count: FlapCount,
    pub(super) tunnel: Tunnel,
    /// The kind of path by which the gateway was last heard.
    pub(super) kind: PathKind,
}

/// Whether this node sends to a gateway that is down by its tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tunnel {
    /// It does.
    Used,
    /// It sends through another gateway of the location. The gateway has been silent since then.
    Bypassed {
        silent_since: Now,
        /// How often this node flapped, as the gateway counts: both ends use the higher count of the two.
        counted_flaps: FlapCount,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Down,
    /// Heard again, and well since then; it still counts as down.
    Recovering {
        since: Now,
    },
    /// It counts as live since then.
    Live {
        since: Now,
    },
}

/// How far the return of a gateway has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Return {
    /// The kind of path by which the gateway is heard.
    pub(crate) kind: PathKind,
    pub(crate) phase: ReturnPhase,
}

/// The part of a return in which a gateway is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReturnPhase {
    /// The nodes of its location treat the gateway as live from this moment on, if it stays well.
    Recovering { moment: Now },
    /// This node has treated the gateway as live since then.
    Live { since: Now },
}

impl GatewayHistory {
    pub(super) const fn new(state: State, flap_count: FlapCount) -> Self {
        Self { state, flap_count, tunnel: Tunnel::Used, kind: PathKind::Tunnel }
    }

    /// Whether this node sends to the gateway through another gateway of its location.
    pub(super) const fn is_bypassed(&self) -> bool {
        matches!(self.tunnel, Tunnel::Bypassed { .. }) && !matches!(self.state, State::Live { .. })
    }

    /// Whether the gateway has been live for so long that its flaps do not count any more.
    pub(super) fn has_decayed(&self, now: Now) -> bool {
        matches!(self.state, State::Live { since } if now.saturating_sub(since) > FLAP_DECAY)
    }

    /// The moment at which a gateway that is well since then counts as live, if it stays well.
    pub(super) fn moment(&self, well_since: Now) -> Now {
        let flap_count = match self.tunnel {
            Tunnel::Used => self.flap_count,
            Tunnel::Bypassed { counted_flaps, .. } => self.flap_count.max(counted_flaps),
        };
        well_since + flap_count.stable_time()
    }

    /// When this node treats it as live; `far_delay` is what a node adds for gateways of other locations.
    pub(super) fn due(&self, well_since: Now, far_delay: Duration) -> Now {
        let delay = match self.kind {
            PathKind::Tunnel => far_delay,
            PathKind::Inside => Duration::ZERO,
        };
        self.moment(well_since) + delay
    }

    /// When this node treats it as live, if it is recovering.
    pub(super) fn due_return(&self, far_delay: Duration) -> Option<Now> {
        match self.state {
            State::Recovering { since } => Some(self.due(since, far_delay)),
            State::Down | State::Live { .. } => None,
        }
    }

    /// How far its return has come; `None` while it is down.
    pub(super) fn progress(&self) -> Option<Return> {
        let phase = match self.state {
            State::Down => return None,
            State::Recovering { since } => ReturnPhase::Recovering { moment: self.moment(since) },
            State::Live { since } => ReturnPhase::Live { since },
        };
        Some(Return { kind: self.kind, phase })
    }
}
