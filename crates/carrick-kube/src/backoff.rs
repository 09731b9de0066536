//! How long to wait before the next attempt.

use std::time::{Duration, Instant};

/// Delays that double up to a limit, and start anew after a time without failure.
///
/// Clock and chance are passed in.
#[derive(Clone, Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Backoff {
    /// Delays from `least` to `most`.
    #[must_use]
    pub const fn new(least: Duration, most: Duration) -> Self {
        Self { least, most, failures: 0, last_failure: None }
    }

    /// The delay after a failure. `chance`, from 0 to 1, takes off up to half of it, so that many clients spread.
    ///
    /// When the last failure is longer ago than twice the longest delay, the delays start anew.
    pub fn delay_after_failure(&mut self, now: Instant, chance: f64) -> Duration {
        let calm = self.last_failure.is_none_or(|last| now.saturating_duration_since(last) > self.most * 2);
        self.failures = if calm { 1 } else { self.failures.saturating_add(1) };
        self.last_failure = Some(now);
        let doublings = (self.failures - 1).min(30);
        let delay = self.least.saturating_mul(1 << doublings).min(self.most);
        delay.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_limit() {
        let mut backoff = Backoff::new(SECOND, SECOND * 10);
        let now = Instant::now();
        let delays: Vec<u64> = (0..6).map(|_| backoff.delay_after_failure(now, 0.0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 10, 10]);
        for _ in 0..100 {
            assert_eq!(backoff.delay_after_failure(now, 0.0), SECOND * 10);
        }
    }

    #[test]
    fn after_calm_they_start_anew() {
        let mut backoff = Backoff::new(SECOND, SECOND * 10);
        let start = Instant::now();
        backoff.delay_after_failure(start, 0.0);
        assert_eq!(backoff.delay_after_failure(start + SECOND * 20, 0.0), SECOND * 2);
        assert_eq!(backoff.delay_after_failure(start + SECOND * 41, 0.0), SECOND);
    }

    #[test]
    fn chance_takes_off_up_to_half() {
        let mut backoff = Backoff::new(SECOND, SECOND);
        let now = Instant::now();
        assert_eq!(backoff.delay_after_failure(now, 1.0), SECOND / 2);
        assert_eq!(backoff.delay_after_failure(now, 0.5), SECOND * 3 / 4);
    }
}
