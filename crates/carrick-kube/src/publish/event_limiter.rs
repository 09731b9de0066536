//! Which warnings and faults become Events, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Events that may be sent at once.
const BURST: u32 = 10;
/// The time after which one more Event may be written.
const REFILL: Duration = Duration::from_secs(60);
/// An item that comes back earlier than this after it went is the same one.
const FORGET: Duration = Duration::from_secs(600);

/// Selects the items to report: each once while it lasts, and a limited number in a time. The caller passes the time.
#[derive(Debug)]
pub struct EventLimiter<T> {
    /// The reported items, and when each was last in force.
    told: BTreeMap<T, Instant>,
    tokens: u32,
    refilled: Instant,
}

impl<T: Ord + Clone> EventLimiter<T> {
    /// A limiter that has reported nothing.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { told: BTreeMap::new(), tokens: BURST, refilled: now }
    }

    /// The items in force that are to be reported now.
    pub fn admit(&mut self, current: &BTreeSet<T>, now: Instant) -> Vec<T> {
        self.refill(now);
        for item in current {
            if let Some(seen) = self.told.get_mut(item) {
                *seen = now;
            }
        }
        self.told.retain(|_, seen| now.saturating_duration_since(*seen) < FORGET);
        let new: Vec<T> =
            current.iter().filter(|item| !self.told.contains_key(*item)).take(self.tokens as usize).cloned().collect();
        self.tokens -= u32::try_from(new.len()).unwrap_or(self.tokens);
        self.told.extend(new.iter().map(|item| (item.clone(), now)));
        new
    }

    /// Takes back an item that could not be reported, so that it is selected again.
    pub fn take_back(&mut self, item: &T) {
        self.told.remove(item);
    }

    /// The time to call again if nothing changes. `None` if everything is reported.
    #[must_use]
    pub fn next_deadline(&self, current: &BTreeSet<T>) -> Option<Instant> {
        let waits = current.iter().any(|item| !self.told.contains_key(item));
        waits.then(|| self.refilled + REFILL)
    }

    fn refill(&mut self, now: Instant) {
        let periods = now.saturating_duration_since(self.refilled).as_secs() / REFILL.as_secs();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(periods).min(BURST);
        self.refilled += REFILL.saturating_mul(periods);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carrick_topology::{ObjectName, Warning, WarningReason};

    fn warnings(count: usize) -> BTreeSet<Warning> {
        let object = ObjectName::Node("a".parse().unwrap());
        (0..count).map(|value| Warning::new(object.clone(), "f", value, WarningReason::NoGateway)).collect()
    }

    #[test]
    fn a_warning_is_told_once_while_it_lasts() {
        let start = Instant::now();
        let mut limiter = EventLimiter::new(start);
        assert_eq!(limiter.admit(&warnings(2), start).len(), 2);
        for hour in 1..100 {
            assert_eq!(limiter.admit(&warnings(2), start + REFILL * 9 * hour).len(), 0);
        }
        assert_eq!(limiter.next_deadline(&warnings(2)), None);
    }

    #[test]
    fn a_warning_that_flaps_is_not_told_again_at_once() {
        let start = Instant::now();
        let mut limiter = EventLimiter::new(start);
        limiter.admit(&warnings(1), start);
        limiter.admit(&warnings(0), start + REFILL);
        assert_eq!(limiter.admit(&warnings(1), start + REFILL * 2).len(), 0);
        limiter.admit(&warnings(0), start + REFILL * 2 + FORGET);
        assert_eq!(limiter.admit(&warnings(1), start + REFILL * 3 + FORGET).len(), 1);
    }

    #[test]
    fn a_flood_is_told_little_by_little() {
        let start = Instant::now();
        let mut limiter = EventLimiter::new(start);
        let flood = warnings(13);
        assert_eq!(limiter.admit(&flood, start).len(), 10);
        assert_eq!(limiter.admit(&flood, start + REFILL / 2).len(), 0);
        let deadline = limiter.next_deadline(&flood).unwrap();
        assert_eq!(deadline, start + REFILL);
        assert_eq!(limiter.admit(&flood, deadline).len(), 1);
        assert_eq!(limiter.admit(&flood, start + REFILL * 3).len(), 2);
        assert_eq!(limiter.next_deadline(&flood), None);
    }

    #[test]
    fn what_could_not_be_told_is_told_later() {
        let start = Instant::now();
        let mut limiter = EventLimiter::new(start);
        let [warning] = limiter.admit(&warnings(1), start).try_into().unwrap();
        limiter.take_back(&warning);
        assert_eq!(limiter.admit(&warnings(1), start).len(), 1);
    }

    #[test]
    fn rest_gives_no_more_than_a_burst() {
        let start = Instant::now();
        let mut limiter = EventLimiter::new(start);
        assert_eq!(limiter.admit(&warnings(99), start + REFILL * 1000).len(), 10);
    }
}
