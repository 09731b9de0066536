//! A gateway that fell, and the moments of its return.
//!
//! It counts again after its stable time, at a moment that all nodes know. From then on its location sends by it; WireGuard, far away,
//! takes that from one peer only. So far gateways accept it packed as well before they move what they accept to the peer of the one that
//! returns:
//!
//! | | in its location | at far gateways |
//! |---|---|---|
//! | a little before the moment | | it returns: packed packets are accepted, and asked for |
//! | at the moment | it counts, and returns: whoever stood by keeps its tunnels | it counts, unless all say that they pack |
//! | 1 s later | | it counts |
//! | 1 s after it counts | | nobody is asked to pack any more |
//! | 3 s after it counts | it returns no longer | |
//! | 4 s after it counts | | it returns no longer, once nobody says that he packs; after 60 s in any case |

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;
use crate::falls::Falls;
use crate::handover::Packed;

/// Far gateways move what they accept so long after the moment, and ask others to pack for so long after that: both are more than the
/// moment differs between nodes.
pub(super) const MOVING_TIME: Duration = Duration::from_secs(1);
/// Whoever stood by keeps its tunnels for so long after the moment: until all of its location have changed over, and far gateways too.
const KEPT_TIME: Duration = Duration::from_secs(3);
/// Packed packets are accepted for so long after they are asked for: longer than it takes until the last one has arrived.
const DRAIN_TIME: Duration = Duration::from_secs(3);
/// They are accepted no longer than this after the gateway counts, whoever packs.
const LONGEST_HANDOVER: Duration = Duration::from_secs(60);

/// A gateway that is or was down.
#[derive(Debug)]
pub(super) struct Fall {
    pub(super) standing: Standing,
    pub(super) falls: Falls,
    /// The way by which it was last heard.
    pub(super) kind: PathKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
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
    /// Whether those from which packed packets are accepted say that they pack.
    pub(super) packed: Packed,
    /// How long before the moment packed packets are asked for.
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

impl Fall {
    pub(super) const fn of(standing: Standing, falls: Falls) -> Self {
        Self { standing, falls, kind: PathKind::Tunnel }
    }

    /// When it counts again, if it goes on to be well.
    pub(super) fn due(&self, since: Now, packed: Packed) -> Now {
        let wait = match (self.kind, packed) {
            (PathKind::Tunnel, Packed::All) => MOVING_TIME,
            (PathKind::Tunnel, Packed::Some | Packed::Nobody) | (PathKind::Inside, _) => Duration::ZERO,
        };
        since + self.falls.stable_time() + wait
    }

    /// When it returns, as [`carrick_topology::model::Liveness::returning`] means it.
    pub(super) fn returning(&self, terms: Terms) -> Option<Window> {
        match (self.kind, self.standing) {
            (PathKind::Inside, Standing::Live { since }) => {
                Some(Window { from: since, until: Some(since + KEPT_TIME) })
            }
            (PathKind::Tunnel, Standing::Live { since }) => {
                let accepted = match terms.packed {
                    Packed::Nobody => MOVING_TIME + DRAIN_TIME,
                    Packed::Some | Packed::All => LONGEST_HANDOVER,
                };
                Some(Window { from: since, until: Some(since + accepted) })
            }
            (PathKind::Tunnel, Standing::Returning { .. }) => self.asking(terms),
            (PathKind::Inside, Standing::Returning { .. }) | (_, Standing::Down) => None,
        }
    }

    /// When others are asked to pack because of it.
    pub(super) fn asking(&self, terms: Terms) -> Option<Window> {
        match (self.kind, self.standing) {
            (PathKind::Tunnel, Standing::Returning { since }) => {
                let moment = since + self.falls.stable_time();
                Some(Window { from: moment.saturating_sub(terms.lead), until: None })
            }
            (PathKind::Tunnel, Standing::Live { since }) => {
                Some(Window { from: since, until: Some(since + MOVING_TIME) })
            }
            (PathKind::Inside, _) | (PathKind::Tunnel, Standing::Down) => None,
        }
    }

    /// All moments at which something of this changes, if nothing happens before.
    pub(super) fn moments(&self, terms: Terms) -> impl Iterator<Item = Now> {
        let due = match self.standing {
            Standing::Returning { since } => Some(self.due(since, terms.packed)),
            Standing::Down | Standing::Live { .. } => None,
        };
        let windows = [self.returning(terms), self.asking(terms)].into_iter().flatten();
        windows.flat_map(|window| [Some(window.from), window.until]).chain([due]).flatten()
    }
}
