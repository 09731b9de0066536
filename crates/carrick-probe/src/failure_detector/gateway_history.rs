//! A gateway that fell, and the moments of its return.
//!
//! It counts again after its stable time, at a moment that all nodes know. From then on its location sends by it; WireGuard, far away,
//! takes that from one peer only. So far gateways accept it encapsulated as well before they move what they accept to the peer of the one that
//! returns:
//!
//! | | in its location | at far gateways |
//! |---|---|---|
//! | a little before the moment | | it returns: encapsulated packets are accepted, and asked for |
//! | at the moment | it counts, and returns: whoever stood by keeps its tunnels | it counts, unless all say that they encapsulate |
//! | 1 s later | | it counts |
//! | 1 s after it counts | | nobody is asked to encapsulate any more |
//! | 3 s after it counts | it returns no longer | |
//! | 4 s after it counts | | it returns no longer, once nobody says that he encapsulates; after 60 s in any case |

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;
use crate::flap_count::FlapCount;
use crate::handover::EncapsulatingSenders;

/// Far gateways move what they accept so long after the moment, and ask others to encapsulate for so long after that: both are more than the
/// moment differs between nodes.
pub(super) const MOVING_TIME: Duration = Duration::from_secs(1);
/// Whoever stood by keeps its tunnels for so long after the moment: until all of its location have changed over, and far gateways too.
const KEPT_TIME: Duration = Duration::from_secs(3);
/// EncapsulatingSenders packets are accepted for so long after they are asked for: longer than it takes until the last one has arrived.
const DRAIN_TIME: Duration = Duration::from_secs(3);
/// They are accepted no longer than this after the gateway counts, whoever encapsulates.
const LONGEST_HANDOVER: Duration = Duration::from_secs(60);

/// A gateway that is or was down.
#[derive(Debug)]
pub(super) struct GatewayHistory {
    pub(super) state: State,
    pub(super) flap_count: FlapCount,
    /// The way by which it was last heard.
    pub(super) kind: PathKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Down,
    /// Heard again, and well since then.
    Returning {
        since: Now,
    },
    /// Counts again since then.
    Live {
        since: Now,
    },
}

/// What the moments depend on beside the gateway itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    /// Whether those from which encapsulated packets are accepted say that they encapsulate.
    pub(super) encapsulated: EncapsulatingSenders,
    /// How long before the moment encapsulated packets are asked for.
    pub(super) lead: Duration,
}

/// From one moment on and until another one, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    from: Now,
    until: Option<Now>,
}

impl Window {
    pub(super) fn contains(&self, now: Now) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

impl GatewayHistory {
    pub(super) const fn of(state: State, flap_count: FlapCount) -> Self {
        Self { state, flap_count, kind: PathKind::Tunnel }
    }

    /// When it counts again, if it goes on to be well.
    pub(super) fn due(&self, since: Now, encapsulated: EncapsulatingSenders) -> Now {
        let wait = match (self.kind, encapsulated) {
            (PathKind::Tunnel, EncapsulatingSenders::All) => MOVING_TIME,
            (PathKind::Tunnel, EncapsulatingSenders::Some | EncapsulatingSenders::None) | (PathKind::Inside, _) => {
                Duration::ZERO
            }
        };
        since + self.flap_count.stable_time() + wait
    }

    /// When it returns, as [`carrick_topology::model::Liveness::returning`] means it.
    pub(super) fn returning(&self, terms: Terms) -> Option<Window> {
        match (self.kind, self.state) {
            (PathKind::Inside, State::Live { since }) => Some(Window { from: since, until: Some(since + KEPT_TIME) }),
            (PathKind::Tunnel, State::Live { since }) => {
                let accepted = match terms.encapsulated {
                    EncapsulatingSenders::None => MOVING_TIME + DRAIN_TIME,
                    EncapsulatingSenders::Some | EncapsulatingSenders::All => LONGEST_HANDOVER,
                };
                Some(Window { from: since, until: Some(since + accepted) })
            }
            (PathKind::Tunnel, State::Returning { .. }) => self.asking(terms),
            (PathKind::Inside, State::Returning { .. }) | (_, State::Down) => None,
        }
    }

    /// When others are asked to encapsulate because of it.
    pub(super) fn asking(&self, terms: Terms) -> Option<Window> {
        match (self.kind, self.state) {
            (PathKind::Tunnel, State::Returning { since }) => {
                let moment = since + self.flap_count.stable_time();
                Some(Window { from: moment.saturating_sub(terms.lead), until: None })
            }
            (PathKind::Tunnel, State::Live { since }) => Some(Window { from: since, until: Some(since + MOVING_TIME) }),
            (PathKind::Inside, _) | (PathKind::Tunnel, State::Down) => None,
        }
    }

    /// All moments at which something of this changes, if nothing happens before.
    pub(super) fn moments(&self, terms: Terms) -> impl Iterator<Item = Now> {
        let due = match self.state {
            State::Returning { since } => Some(self.due(since, terms.encapsulated)),
            State::Down | State::Live { .. } => None,
        };
        let windows = [self.returning(terms), self.asking(terms)].into_iter().flatten();
        windows.flat_map(|window| [Some(window.from), window.until]).chain([due]).flatten()
    }
}
