//! When traffic moves to a gateway that returns.
//!
//! All nodes know the same *moment* at which the gateway counts as live again. The nodes of its own location send by it from the moment on.
//! WireGuard at far gateways accepts that from one peer only, so that far gateways accept it encapsulated as well while they move the source
//! addresses:
//!
//! | time | in the gateway's location | at far gateways |
//! |---|---|---|
//! | the lead time before the moment | it may postpone the moment (see [`super::postponement`]) | it is returning: encapsulated packets are accepted, and asked for |
//! | the moment | it is live, and returning: the nodes that were gateways in its place keep their tunnels | it is live, unless all of its location that this node hears say that they encapsulate |
//! | 1 s later | | it is live |
//! | 1 s after it is live | | no node is asked to encapsulate any more |
//! | 3 s after it is live | it is not returning any more | |
//! | 4 s after it is live | | it is not returning any more, once no gateway says that it encapsulates; after 60 s in any case |

use std::time::Duration;

use carrick_topology::plan::PathKind;

use super::flags::HandoverFlags;
use crate::Now;
use crate::failure_detector::{Direction, Move, MovePhase};
use crate::flap_count::FIRST_STABLE_TIME;

/// Far gateways move source addresses this long after the moment, and ask for encapsulated packets for this long after that. Both are more
/// than the moment differs between nodes.
pub(crate) const MOVING_TIME: Duration = Duration::from_secs(1);
/// The nodes that were gateways in its place keep their tunnels for this long after the moment: until all nodes of the location, and the
/// far gateways, have changed over.
const KEPT_TIME: Duration = Duration::from_secs(3);
/// Encapsulated packets are accepted for this long after they are asked for: longer than the last one is under way.
const DRAIN_TIME: Duration = Duration::from_secs(3);
/// Encapsulated packets are accepted for this long after the gateway is live at most, even if a gateway still says that it encapsulates.
const LONGEST_HANDOVER: Duration = Duration::from_secs(60);
/// The lead time holds this many rounds of probes, so that the returning gateway hears that it is asked to encapsulate.
const ROUNDS_OF_LEAD: u32 = 3;
/// By how much the moment may differ between nodes, until the kernel holds what follows from it.
pub(super) const SKEW: Duration = Duration::from_secs(1);
/// The longest lead time: less than the shortest stable time, so that a gateway is asked only after it was well for a while. It is enough
/// however long a round takes, because news goes out before the regular probes.
const LONGEST_LEAD: Duration = FIRST_STABLE_TIME.saturating_sub(Duration::from_secs(2));

/// What the times depend on beside the gateway itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    pub(super) senders: EncapsulatingSenders,
    pub(super) lead: Duration,
}

/// How many of the gateways from which encapsulated packets are accepted say that they encapsulate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EncapsulatingSenders {
    /// None of them, or there are none.
    #[default]
    None,
    /// Not all of them.
    Some,
    /// All of them.
    All,
}

/// Whether the lead time of a return has begun. What a node asks for then, it asks for until the moment, also if that is postponed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    Ahead,
    Begun,
}

/// From one moment on and until another one, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    from: Now,
    until: Option<Now>,
}

impl Schedule {
    /// `round` is the time in which this node probes each gateway once.
    pub(super) fn new(senders: EncapsulatingSenders, round: Duration) -> Self {
        Self { senders, lead: (round * ROUNDS_OF_LEAD + SKEW).min(LONGEST_LEAD) }
    }

    /// How long after the moment this node treats a gateway of another location as live.
    pub(super) const fn far_delay(&self) -> Duration {
        match self.senders {
            EncapsulatingSenders::All => MOVING_TIME,
            EncapsulatingSenders::Some | EncapsulatingSenders::None => Duration::ZERO,
        }
    }

    /// When a gateway is returning or draining, as [`carrick_topology::handover::HandoverReport`] means it.
    pub(super) fn accepting(&self, gateway: Move, lead: Lead) -> Option<Window> {
        match (gateway.kind, gateway.phase) {
            (PathKind::Inside, MovePhase::Made { since }) => {
                Some(Window { from: since, until: Some(since + KEPT_TIME) })
            }
            (PathKind::Tunnel, MovePhase::Made { since }) => {
                let accepted = match self.senders {
                    EncapsulatingSenders::None => MOVING_TIME + DRAIN_TIME,
                    EncapsulatingSenders::Some | EncapsulatingSenders::All => LONGEST_HANDOVER,
                };
                Some(Window { from: since, until: Some(since + accepted) })
            }
            (PathKind::Tunnel, MovePhase::Ahead { .. }) => self.asking(gateway, lead),
            (PathKind::Inside, MovePhase::Ahead { .. }) => None,
        }
    }

    /// When encapsulated packets are asked for because of a gateway.
    pub(super) fn asking(&self, gateway: Move, lead: Lead) -> Option<Window> {
        match (gateway.kind, gateway.phase) {
            (PathKind::Tunnel, MovePhase::Ahead { moment }) => {
                let from = match (lead, gateway.direction) {
                    (Lead::Ahead, Direction::To) => moment.saturating_sub(self.lead),
                    (Lead::Ahead, Direction::From) => moment.saturating_sub(LONGEST_LEAD),
                    (Lead::Begun, Direction::To | Direction::From) => Now::ZERO,
                };
                Some(Window { from, until: None })
            }
            (PathKind::Tunnel, MovePhase::Made { since }) => {
                Some(Window { from: since, until: Some(since + MOVING_TIME) })
            }
            (PathKind::Inside, _) => None,
        }
    }
}

impl EncapsulatingSenders {
    /// By what each of them says.
    pub(super) fn by(said: impl IntoIterator<Item = HandoverFlags>) -> Self {
        let (encapsulate, others): (Vec<_>, Vec<_>) = said.into_iter().partition(|flags| flags.encapsulates());
        match (encapsulate.is_empty(), others.is_empty()) {
            (true, _) => Self::None,
            (false, false) => Self::Some,
            (false, true) => Self::All,
        }
    }
}

impl Window {
    pub(super) fn contains(&self, now: Now) -> bool {
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    /// The moments at which it begins and ends.
    pub(super) fn edges(&self) -> impl Iterator<Item = Now> + use<> {
        [Some(self.from), self.until].into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_encapsulate_when_all_of_them_say_so() {
        let (encapsulates, silent) = (HandoverFlags::ENCAPSULATES, HandoverFlags::DECAPSULATES);
        assert_eq!(EncapsulatingSenders::by([]), EncapsulatingSenders::None);
        assert_eq!(EncapsulatingSenders::by([silent, silent]), EncapsulatingSenders::None);
        assert_eq!(EncapsulatingSenders::by([silent, encapsulates]), EncapsulatingSenders::Some);
        assert_eq!(EncapsulatingSenders::by([encapsulates, encapsulates | silent]), EncapsulatingSenders::All);
    }
}
