//! A gateway that is or was down.

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;
use crate::flap_count::{FIRST_STABLE_TIME, FlapCount};

/// A gateway loses its flap count after it has been live for this long.
const FLAP_DECAY: Duration = Duration::from_secs(900);
/// Traffic leaves a gateway this long after the gateway began to drain: longer than it takes until all nodes know it, and are prepared.
pub(super) const DRAIN_NOTICE: Duration = FIRST_STABLE_TIME;

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
    /// It has drained since then, and counts as live until its traffic moves.
    Draining {
        since: Now,
    },
    /// It drains, and counts as down since then.
    Drained {
        since: Now,
    },
}

/// Traffic that moves to a gateway or away from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    /// The kind of path by which the gateway is heard.
    pub(crate) kind: PathKind,
    pub(crate) direction: Direction,
    pub(crate) phase: MovePhase,
}

/// Whether a gateway gets traffic or gives it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The gateway returns.
    To,
    /// The gateway drains.
    From,
}

/// How far a move has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MovePhase {
    /// The nodes of the gateway's location move their traffic at this moment, if nothing changes before.
    Ahead { moment: Now },
    /// This node has moved its traffic then.
    Made { since: Now },
}

impl State {
    /// Whether a gateway in this state counts as down.
    pub(super) const fn is_down(self) -> bool {
        match self {
            Self::Down | Self::Recovering { .. } | Self::Drained { .. } => true,
            Self::Live { .. } | Self::Draining { .. } => false,
        }
    }
}

impl GatewayHistory {
    pub(super) const fn new(state: State, flap_count: FlapCount) -> Self {
        Self { state, flap_count, tunnel: Tunnel::Used, kind: PathKind::Tunnel }
    }

    /// Whether this node sends to the gateway through another gateway of its location.
    pub(super) const fn is_bypassed(&self) -> bool {
        matches!(self.tunnel, Tunnel::Bypassed { .. }) && self.state.is_down()
    }

    /// Whether its traffic has left it because it drains.
    pub(super) const fn has_drained(&self) -> bool {
        matches!(self.state, State::Drained { .. })
    }

    /// Whether the gateway has been live for so long that its flaps do not count any more.
    pub(super) fn has_decayed(&self, now: Now) -> bool {
        matches!(self.state, State::Live { since } if now.saturating_sub(since) > FLAP_DECAY)
    }

    /// The moment at which a gateway that is well since then counts as live, if it stays well.
    fn moment_of_return(&self, well_since: Now) -> Now {
        let flap_count = match self.tunnel {
            Tunnel::Used => self.flap_count,
            Tunnel::Bypassed { counted_flaps, .. } => self.flap_count.max(counted_flaps),
        };
        well_since + flap_count.stable_time()
    }

    /// The move of traffic that is ahead, and its moment.
    fn ahead(&self) -> Option<(Direction, Now)> {
        match self.state {
            State::Recovering { since } => Some((Direction::To, self.moment_of_return(since))),
            State::Draining { since } => Some((Direction::From, since + DRAIN_NOTICE)),
            State::Down | State::Live { .. } | State::Drained { .. } => None,
        }
    }

    /// When this node treats it as live, if it is recovering.
    pub(super) fn due_return(&self, far_delay: Duration) -> Option<Now> {
        let is_recovering = matches!(self.state, State::Recovering { .. });
        self.due(far_delay).filter(|_| is_recovering)
    }

    /// When this node moves traffic to it or away from it, if nothing changes before; `far_delay` is what a node adds for gateways of other
    /// locations.
    pub(super) fn due(&self, far_delay: Duration) -> Option<Now> {
        let delay = match self.kind {
            PathKind::Tunnel => far_delay,
            PathKind::Inside => Duration::ZERO,
        };
        self.ahead().map(|(_, moment)| moment + delay)
    }

    /// The move of traffic that is ahead, or that was made last; `None` while the gateway is down without having drained.
    pub(super) fn progress(&self) -> Option<Move> {
        let (direction, phase) = match self.state {
            State::Live { since } => (Direction::To, MovePhase::Made { since }),
            State::Drained { since } => (Direction::From, MovePhase::Made { since }),
            State::Down | State::Recovering { .. } | State::Draining { .. } => {
                let (direction, moment) = self.ahead()?;
                (direction, MovePhase::Ahead { moment })
            }
        };
        Some(Move { kind: self.kind, direction, phase })
    }
}
