//! Jitter for back-off, from a seed.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Random numbers that depend on the seed alone.
#[derive(Debug)]
pub(crate) struct Jitter(StdRng);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// From 0 to 1.
    pub(crate) fn next(&mut self) -> f64 {
        self.0.random()
    }
}
