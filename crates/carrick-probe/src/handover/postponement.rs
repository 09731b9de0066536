//! A gateway that returns postpones the moment while it is not ready to encapsulate.
//!
//! Each observer derives the moment from the time for which the gateway says that it has been well. The gateway alone knows whether its kernel
//! encapsulates yet, which takes long on a busy machine. As long as it does not, the gateway says that it has been well for a shorter time, so
//! that all observers postpone the moment alike.

use std::time::Duration;

use super::peer::HandoverPeer;
use super::schedule::SKEW;
use crate::Now;

/// A gateway postpones the moment by this at most: a firewall between the two gateways may drop encapsulated packets for ever.
const LONGEST: Duration = Duration::from_secs(5);

/// By how much this node postpones the moment of its own return.
#[derive(Debug, Default)]
pub(crate) struct Postponement {
    /// Since when the node has been well without a break.
    well_since: Option<Now>,
    by: Duration,
}

/// Whether this node encapsulates to all gateways that ask for it, and has told them so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// It does, or no gateway asks for it.
    Complete,
    /// It does not yet.
    UnderWay,
}

impl Preparation {
    /// Of what is known of all other gateways.
    pub(crate) fn of_all<'a>(mut gateways: impl Iterator<Item = &'a HandoverPeer>) -> Self {
        if gateways.any(HandoverPeer::waits_for_encapsulation) { Self::UnderWay } else { Self::Complete }
    }
}

impl Postponement {
    /// What holds now. The moment is due once the node has been well for the `stable_time`. `round` is the time in which each gateway is probed
    /// once: each step of the postponement reaches all observers before the moment.
    pub(crate) fn note(
        &mut self,
        now: Now,
        well_since: Option<Now>,
        stable_time: Duration,
        round: Duration,
        preparation: Preparation,
    ) {
        if well_since != self.well_since {
            *self = Self { well_since, by: Duration::ZERO };
        }
        let (Some(since), Preparation::UnderWay) = (well_since, preparation) else { return };
        let moment = since + stable_time + self.by;
        let step = round + SKEW;
        if (moment.saturating_sub(step)..moment).contains(&now) && self.by + step <= LONGEST {
            self.by += step;
        }
    }

    /// By how much the moment is postponed.
    pub(crate) const fn by(&self) -> Duration {
        self.by
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STABLE: Duration = Duration::from_secs(10);
    const ROUND: Duration = Duration::from_millis(250);
    const STEP: Duration = Duration::from_millis(1250);
    const WELL_SINCE: Now = Duration::from_secs(100);
    const MOMENT: Now = Duration::from_secs(110);

    /// By how much the moment is postponed after these observations.
    fn postponed(observations: &[(Now, Option<Now>, Preparation)]) -> Duration {
        let mut postponement = Postponement::default();
        for (now, well_since, preparation) in observations {
            postponement.note(*now, *well_since, STABLE, ROUND, *preparation);
        }
        postponement.by()
    }

    #[test]
    fn only_a_gateway_that_is_not_ready_shortly_before_the_moment_postpones_it() {
        let at = |now, preparation| postponed(&[(now, Some(WELL_SINCE), preparation)]);
        let just_before = MOMENT - Duration::from_millis(1);
        assert_eq!(at(just_before, Preparation::Complete), Duration::ZERO);
        assert_eq!(at(MOMENT - STEP - Duration::from_millis(1), Preparation::UnderWay), Duration::ZERO, "too early");
        assert_eq!(at(MOMENT, Preparation::UnderWay), Duration::ZERO, "too late: others have moved");
        assert_eq!(at(just_before, Preparation::UnderWay), STEP);
        assert_eq!(at(MOMENT - STEP, Preparation::UnderWay), STEP);
    }

    #[test]
    fn the_moment_is_postponed_step_by_step_for_five_seconds_at_most() {
        let all: Vec<_> =
            (0..200).map(|tick| (MOMENT - STEP + ROUND * tick, Some(WELL_SINCE), Preparation::UnderWay)).collect();
        assert_eq!(postponed(&all[..1]), STEP);
        assert_eq!(postponed(&all[..5]), STEP);
        assert_eq!(postponed(&all[..7]), STEP * 2);
        assert_eq!(postponed(&all), LONGEST);
    }

    #[test]
    fn a_break_begins_anew() {
        let before = (MOMENT - STEP, Some(WELL_SINCE), Preparation::UnderWay);
        assert_eq!(postponed(&[before, (MOMENT, None, Preparation::UnderWay)]), Duration::ZERO);
    }
}
