//! How often a gateway has fallen lately.
//!
//! Nodes count alone, and one may have seen a fall that others have not. Each tells the gateway its count with every probe, and the gateway
//! answers all of them with the highest one: so they wait equally long for it.

use std::time::Duration;

use crate::Now;

/// A gateway counts again after it was heard for this long.
pub(crate) const FIRST_STABLE_TIME: Duration = Duration::from_secs(10);
/// However often it falls, it counts again after this.
const LONGEST_STABLE_TIME: Duration = Duration::from_secs(300);
/// More falls make no difference.
const MOST: u8 = 6;
/// For at least so long a gateway repeats what it was told: longer than it takes until everybody has asked again.
const REPEATED: Duration = Duration::from_secs(30);

/// So many falls, as one node counts them, or as the one counts them that counts the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlapCount(u8);

impl FlapCount {
    /// The number, as it goes over the wire.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// The number, as it came over the wire.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(if byte < MOST { byte } else { MOST })
    }

    /// After another one.
    pub(crate) const fn and_one(self) -> Self {
        Self::from_byte(self.0.saturating_add(1))
    }

    /// For how long a gateway must have been well after so many: twice as long with each.
    pub(crate) fn stable_time(self) -> Duration {
        let doublings = u32::from(self.0.saturating_sub(1));
        (FIRST_STABLE_TIME * 2_u32.pow(doublings)).min(LONGEST_STABLE_TIME)
    }
}

/// What others count of this node's own falls.
#[derive(Debug, Default)]
pub(crate) struct Reputation {
    /// The highest of this period and of the one before.
    most: [FlapCount; 2],
    period_began: Now,
}

impl Reputation {
    /// Somebody counts so many.
    pub(crate) fn hear(&mut self, now: Now, flap_count: FlapCount) {
        self.turn(now);
        self.most[0] = self.most[0].max(flap_count);
    }

    /// The highest count that was heard lately.
    pub(crate) fn most(&self, now: Now) -> FlapCount {
        let [this, last] = self.most;
        match now.saturating_sub(self.period_began).as_secs() / REPEATED.as_secs() {
            0 => this.max(last),
            1 => this,
            _ => FlapCount::default(),
        }
    }

    fn turn(&mut self, now: Now) {
        if now.saturating_sub(self.period_began) >= REPEATED {
            let last =
                if now.saturating_sub(self.period_began) < REPEATED * 2 { self.most[0] } else { FlapCount::default() };
            (self.most, self.period_began) = ([FlapCount::default(), last], now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fall_doubles_the_time_up_to_the_longest() {
        let times =
            [1, 2, 3, 4, 5, 6, 7, 255].map(|flap_count| FlapCount::from_byte(flap_count).stable_time().as_secs());
        assert_eq!(times, [10, 20, 40, 80, 160, 300, 300, 300]);
        assert_eq!(FlapCount::from_byte(MOST).and_one(), FlapCount::from_byte(MOST));
    }

    #[test]
    fn the_highest_count_is_repeated_for_a_while() {
        let mut reputation = Reputation::default();
        let start = Duration::from_secs(1000);
        reputation.hear(start, FlapCount(3));
        for (after, flap_count) in [(0, 1), (29, 1), (31, 1), (59, 2)] {
            let now = start + Duration::from_secs(after);
            reputation.hear(now, FlapCount(flap_count));
            assert_eq!(reputation.most(now), FlapCount(3), "after {after} s");
        }
        let later = start + Duration::from_secs(62);
        reputation.hear(later, FlapCount(1));
        assert_eq!(reputation.most(later), FlapCount(2), "nobody says three any more");
        assert_eq!(reputation.most(later + REPEATED * 2), FlapCount(0));
    }
}
