//! Whether nodes send by a gateway that they probe, as they say in their probes.

use std::time::Duration;

use crate::Now;

/// For how long all nodes of its location have sent by a gateway before it says so. This is longer than a return differs between the location
/// and other locations, which move at moments of their own.
const AGREED_FOR: Duration = Duration::from_secs(2);

/// What a probe says of its sender and the probed node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathUse {
    /// Nothing: its sender sends around the tunnel, or counts a gateway of its own location as down, or its agent is of an earlier release.
    #[default]
    Unsaid,
    /// Its sender sends by the path of the probe what is for the probed node itself, and accepts by it what that node sends for itself.
    Used,
    /// The same, and all nodes of the sender's location send by the sender.
    UsedByLocation,
}

/// What both ends say of a path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PathUses {
    /// What this node has to say.
    pub(crate) own: PathUse,
    /// What the other end said last, in a probe that came while the path was up.
    pub(crate) other_end: PathUse,
}

/// What the nodes of this node's location say of it.
#[derive(Debug, Default)]
pub(crate) struct OwnLocation {
    /// Since when all of them say that they send by this node.
    agreed_since: Option<Now>,
    heard_at: Now,
}

impl PathUse {
    const USED: u8 = 1;
    const BY_LOCATION: u8 = 1 << 1;

    /// The bits on the wire.
    pub(crate) const fn to_bits(self) -> u8 {
        match self {
            Self::Unsaid => 0,
            Self::Used => Self::USED,
            Self::UsedByLocation => Self::USED | Self::BY_LOCATION,
        }
    }

    /// From a byte on the wire, which may hold other bits as well.
    pub(crate) const fn from_bits(bits: u8) -> Self {
        match (bits & Self::USED, bits & Self::BY_LOCATION) {
            (0, _) => Self::Unsaid,
            (_, 0) => Self::Used,
            (_, _) => Self::UsedByLocation,
        }
    }
}

impl OwnLocation {
    /// A node of the location says this. Each of them probes this node at least once within `round`.
    pub(crate) fn note(&mut self, now: Now, round: Duration, path_use: PathUse) {
        let is_interrupted = now.saturating_sub(self.heard_at) > round;
        self.heard_at = now;
        self.agreed_since = match path_use {
            PathUse::Unsaid => None,
            PathUse::Used | PathUse::UsedByLocation => self.agreed_since.filter(|_| !is_interrupted).or(Some(now)),
        };
    }

    /// Whether all nodes of the location send by this node.
    pub(crate) fn agrees(&self, now: Now, round: Duration) -> bool {
        let agreed_for = self.agreed_since.map(|since| now.saturating_sub(since));
        agreed_for.is_some_and(|time| time >= AGREED_FOR.max(round)) && now.saturating_sub(self.heard_at) <= round
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND: Duration = Duration::from_millis(750);

    const fn ms(ms: u64) -> Now {
        Duration::from_millis(ms)
    }

    /// Whether the location agrees at the end, after one statement each 250 ms.
    fn agrees_after(statements: &[PathUse]) -> bool {
        let mut own_location = OwnLocation::default();
        let mut now = ms(10_000);
        for path_use in statements {
            now += ms(250);
            own_location.note(now, ROUND, *path_use);
        }
        own_location.agrees(now, ROUND)
    }

    #[test]
    fn a_location_agrees_when_all_its_nodes_say_the_same_for_two_seconds() {
        assert!(!agrees_after(&[]));
        assert!(!agrees_after(&[PathUse::Used; 8]));
        assert!(agrees_after(&[PathUse::Used; 9]));
        assert!(!agrees_after(&[&[PathUse::Used; 9][..], &[PathUse::Unsaid]].concat()), "one node counts it as down");
        assert!(!agrees_after(&[&[PathUse::Unsaid][..], &[PathUse::Used; 8]].concat()));
    }

    #[test]
    fn a_node_that_its_location_was_cut_off_from_begins_again() {
        let mut own_location = OwnLocation::default();
        (0..=20).for_each(|step| own_location.note(ms(10_000 + 250 * step), ROUND, PathUse::Used));
        assert!(own_location.agrees(ms(15_000), ROUND));
        assert!(own_location.agrees(ms(15_750), ROUND));
        assert!(!own_location.agrees(ms(15_751), ROUND), "nothing is heard");
        own_location.note(ms(15_800), ROUND, PathUse::Used);
        assert!(!own_location.agrees(ms(15_800), ROUND));
    }
}
