//! Waiting longer after each failure.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::Now;

/// Exponential back-off with jitter: each delay doubles, up to a longest one, and varies by a quarter either way.
#[derive(Debug)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
    not_before: Now,
    random: StdRng,
}

impl Backoff {
    /// No delay so far. The seed decides the jitter.
    #[must_use]
    pub fn new(shortest: Duration, longest: Duration, seed: u64) -> Self {
        Self { shortest, longest, failures: 0, not_before: Now::ZERO, random: StdRng::seed_from_u64(seed) }
    }

    /// Before this, nothing should be tried.
    #[must_use]
    pub const fn not_before(&self) -> Now {
        self.not_before
    }

    /// Notes a failure: the next try waits.
    pub fn delay(&mut self, now: Now) {
        let doubled = self.shortest.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + doubled.min(self.longest).mul_f64(self.random.random_range(0.75..1.25));
    }

    /// Forgets all failures: the next try may come at once.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.not_before = Now::ZERO;
    }

    /// Forgets how many failures there were, once the last delay has been over for `quiet`; a delay that runs stays.
    pub fn settle(&mut self, now: Now, quiet: Duration) {
        if quiet.is_zero() || now >= self.not_before + quiet {
            self.failures = 0;
        }
    }
}
