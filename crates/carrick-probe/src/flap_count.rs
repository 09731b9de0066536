//! How often a gateway flapped lately, and for how long it must be well before it counts as live.
//!
//! Each node counts alone, and one node may have seen a flap that others did not see. Each node tells the gateway its count with every
//! probe, and the gateway answers all of them with the highest one: so they all wait equally long.

use std::time::Duration;

use crate::Now;

/// The stable time after the first flap.
pub(crate) const FIRST_STABLE_TIME: Duration = Duration::from_secs(10);
/// The stable time after any number of flaps, at most.
const LONGEST_STABLE_TIME: Duration = Duration::from_secs(300);
/// Flaps beyond this number make no difference.
const MOST: u8 = 6;
/// A gateway repeats the highest count for at least this long: longer than it takes until every node has probed it again.
const REPORT_PERIOD: Duration = Duration::from_secs(30);

/// A number of flaps, as one node counts them, or the highest of several such counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlapCount(u8);

impl FlapCount {
    /// The number on the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// From the number on the wire.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(if byte < MOST { byte } else { MOST })
    }

    /// One flap more.
    pub(crate) const fn and_one(self) -> Self {
        Self::from_byte(self.0.saturating_add(1))
    }

    /// For how long a gateway must be well after this many flaps: twice as long with each.
    pub(crate) fn stable_time(self) -> Duration {
        let doublings = u32::from(self.0.saturating_sub(1));
        (FIRST_STABLE_TIME * 2_u32.pow(doublings)).min(LONGEST_STABLE_TIME)
    }
}

/// The flaps of this node, as other nodes report them.
#[derive(Debug, Default)]
pub(crate) struct ReportedFlaps {
    /// The highest count of this period, and of the one before.
    highest: [FlapCount; 2],
    period_began: Now,
}

impl ReportedFlaps {
    /// Another node counts this many.
    pub(crate) fn note(&mut self, now: Now, flap_count: FlapCount) {
        self.begin_period(now);
        self.highest[0] = self.highest[0].max(flap_count);
    }

    /// The highest count that was reported lately.
    pub(crate) fn highest(&self, now: Now) -> FlapCount {
        let [this, last] = self.highest;
        match now.saturating_sub(self.period_began).as_secs() / REPORT_PERIOD.as_secs() {
            0 => this.max(last),
            1 => this,
            _ => FlapCount::default(),
        }
    }

    fn begin_period(&mut self, now: Now) {
        let age = now.saturating_sub(self.period_began);
        if age >= REPORT_PERIOD {
            let last = if age < REPORT_PERIOD * 2 { self.highest[0] } else { FlapCount::default() };
            (self.highest, self.period_began) = ([FlapCount::default(), last], now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flap_doubles_the_stable_time_up_to_the_longest() {
        let times =
            [1, 2, 3, 4, 5, 6, 7, 255].map(|flap_count| FlapCount::from_byte(flap_count).stable_time().as_secs());
        assert_eq!(times, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(FlapCount::from_byte(MOST).and_one(), FlapCount::from_byte(MOST));
    }

    #[test]
    fn the_highest_reported_count_is_repeated_for_a_while() {
        let mut flaps = ReportedFlaps::default();
        let start = Duration::from_secs(1000);
        flaps.note(start, FlapCount(3));
        for (after, flap_count) in [(0, 1), (29, 1), (31, 1), (59, 2)] {
            let now = start + Duration::from_secs(after);
            flaps.note(now, FlapCount(flap_count));
            assert_eq!(flaps.highest(now), FlapCount(3), "after {after} s");
        }
        let later = start + Duration::from_secs(62);
        flaps.note(later, FlapCount(1));
        assert_eq!(flaps.highest(later), FlapCount(2), "no node reports three any more");
        assert_eq!(flaps.highest(later + REPORT_PERIOD * 2), FlapCount(0));
    }
}
