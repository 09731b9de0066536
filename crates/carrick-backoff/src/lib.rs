//! How long to wait before the next attempt: exponential back-off with jitter.
//!
//! Clock and randomness are passed in, so that the same code serves state machines with a simulated clock and tasks that sleep.
#![forbid(unsafe_code)]

use std::time::Duration;

/// A point of a monotonic clock, as the time since an origin of the caller's choice.
pub type Now = Duration;

/// Delays that double after each failure, up to a limit. Each varies by a quarter in both directions, so that many clients spread.
///
/// ```
/// use std::time::Duration;
///
/// let mut backoff = carrick_backoff::Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
/// let now = Duration::from_secs(100);
/// let delays: Vec<u64> = (0..6).map(|_| backoff.delay(now, 0.5).as_secs()).collect();
/// assert_eq!(delays, [1, 2, 4, 8, 10, 10]);
/// assert_eq!(backoff.not_before(), Duration::from_secs(110));
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
    not_before: Now,
}

impl Backoff {
    /// Delays from `shortest` to `longest`. The first attempt may come at once.
    #[must_use]
    pub const fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest, failures: 0, not_before: Now::ZERO }
    }

    /// The next attempt must not begin before this time.
    #[must_use]
    pub const fn not_before(&self) -> Now {
        self.not_before
    }

    /// Takes note of a failure, and returns the delay until the next attempt. `chance` is a random number from 0 to 1.
    pub fn delay(&mut self, now: Now, chance: f64) -> Duration {
        let doubled = self.shortest.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let delay = doubled.mul_f64(0.75 + chance.clamp(0.0, 1.0) / 2.0);
        self.not_before = now + delay;
        delay
    }

    /// Forgets all failures: the next attempt may begin at once.
    pub const fn reset(&mut self) {
        self.failures = 0;
        self.not_before = Now::ZERO;
    }

    /// Forgets how many failures there were if the last delay has been over for at least `quiet`. A delay that has not ended stays.
    pub fn settle(&mut self, now: Now, quiet: Duration) {
        if quiet.is_zero() || now >= self.not_before + quiet {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_delay_stays_at_the_limit() {
        let mut backoff = Backoff::new(SECOND, SECOND * 10);
        for _ in 0..100 {
            backoff.delay(SECOND, 0.5);
        }
        assert_eq!(backoff.delay(SECOND, 0.5), SECOND * 10);
    }

    #[test]
    fn delays_vary_by_a_quarter() {
        let mut backoff = Backoff::new(SECOND, SECOND);
        assert_eq!(backoff.delay(SECOND, 0.0), SECOND * 3 / 4);
        assert_eq!(backoff.delay(SECOND, 1.0), SECOND * 5 / 4);
        assert_eq!(backoff.delay(SECOND, 7.0), SECOND * 5 / 4);
    }

    #[test]
    fn delays_start_again_from_the_shortest_after_a_quiet_time() {
        let mut backoff = Backoff::new(SECOND, SECOND * 10);
        backoff.delay(SECOND, 0.5);
        backoff.settle(SECOND * 3, SECOND * 20);
        assert_eq!(backoff.delay(SECOND * 3, 0.5), SECOND * 2);
        backoff.settle(SECOND * 25, SECOND * 20);
        assert_eq!(backoff.not_before(), SECOND * 5);
        assert_eq!(backoff.delay(SECOND * 25, 0.5), SECOND);
    }

    #[test]
    fn after_a_reset_the_next_attempt_may_begin_at_once() {
        let mut backoff = Backoff::new(SECOND, SECOND * 10);
        backoff.delay(SECOND, 0.5);
        backoff.delay(SECOND, 0.5);
        backoff.reset();
        assert_eq!(backoff.not_before(), Duration::ZERO);
        assert_eq!(backoff.delay(SECOND, 0.5), SECOND);
    }
}
