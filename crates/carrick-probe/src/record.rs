//! Statistics of the probes of one path.

use std::collections::VecDeque;
use std::time::Duration;

use crate::probed_path::{RoundTrip, RoundTripCounts};

/// The number of round trips and outcomes that count as recent.
const RECENT: usize = 100;

/// Statistics of one path.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) histogram: RoundTripCounts,
    /// Whether each of the recent probes was answered.
    outcomes: VecDeque<Outcome>,
    recent_us: VecDeque<u32>,
    /// Scaled by 16, as RFC 3550 §A.8 does.
    jitter_us_by_16: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Lost,
}

impl Record {
    pub(crate) fn answered_after(&mut self, round_trip: Duration) {
        self.answered += 1;
        self.histogram.observe(round_trip);
        let us = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        if let Some(before) = self.recent_us.back() {
            let difference = u64::from(before.abs_diff(us));
            self.jitter_us_by_16 = self.jitter_us_by_16 + difference - ((self.jitter_us_by_16 + 8) >> 4);
        }
        push(&mut self.recent_us, us);
        push(&mut self.outcomes, Outcome::Answered);
    }

    pub(crate) fn lost(&mut self) {
        push(&mut self.outcomes, Outcome::Lost);
    }

    pub(crate) fn loss(&self) -> Option<f64> {
        let lost = self.outcomes.iter().filter(|outcome| **outcome == Outcome::Lost).count();
        (!self.outcomes.is_empty()).then(|| lost as f64 / self.outcomes.len() as f64)
    }

    /// The median of the recent round trips.
    pub(crate) fn median(&self) -> Option<Duration> {
        self.round_trip().map(|round_trip| Duration::from_micros(round_trip.p50_us))
    }

    pub(crate) fn round_trip(&self) -> Option<RoundTrip> {
        let last_us = u64::from(*self.recent_us.back()?);
        let mut sorted: Vec<u32> = self.recent_us.iter().copied().collect();
        sorted.sort_unstable();
        let at = |hundredths: usize| u64::from(sorted[(sorted.len() - 1) * hundredths / 100]);
        Some(RoundTrip { min_us: at(0), p50_us: at(50), p99_us: at(99), last_us, jitter_us: self.jitter_us_by_16 >> 4 })
    }
}

fn push<T>(ring: &mut VecDeque<T>, value: T) {
    if ring.len() == RECENT {
        ring.pop_front();
    }
    ring.push_back(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_the_share_of_recent_probes_without_an_answer() {
        let mut record = Record::default();
        assert_eq!(record.loss(), None);
        for _ in 0..25 {
            record.lost();
        }
        for _ in 0..75 {
            record.answered_after(Duration::from_millis(1));
        }
        assert_eq!(record.loss(), Some(0.25));
        for _ in 0..100 {
            record.answered_after(Duration::from_millis(1));
        }
        assert_eq!((record.loss(), record.answered), (Some(0.0), 175));
    }

    #[test]
    fn percentiles_are_those_of_the_recent_round_trips() {
        let mut record = Record::default();
        for ms in 1..=100 {
            record.answered_after(Duration::from_millis(ms));
        }
        let round_trip = record.round_trip().unwrap();
        assert_eq!((round_trip.min_us, round_trip.p50_us, round_trip.p99_us), (1_000, 50_000, 99_000));
        assert_eq!((round_trip.last_us, round_trip.jitter_us / 100), (100_000, 9), "it approaches 1 ms");
    }
}
