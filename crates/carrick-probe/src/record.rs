//! Statistics of the probes of one path.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Now;
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
    /// When the first answered probe was sent. Earlier probes went out before the tunnel was up, and say nothing about the path.
    measured_from: Option<Now>,
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
    /// Records the answer to a probe.
    pub(crate) fn answered(&mut self, sent_at: Now, round_trip: Duration) {
        self.measured_from.get_or_insert(sent_at);
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

    /// Records that a probe has no answer.
    pub(crate) fn lost(&mut self, sent_at: Now) {
        if self.measured_from.is_some_and(|from| from <= sent_at) {
            push(&mut self.outcomes, Outcome::Lost);
        }
    }

    /// The loss of recent probes, from 0 to 1, counted from the first answered probe.
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

    const MS: Duration = Duration::from_millis(1);

    /// Records outcomes of probes that are sent one millisecond apart.
    fn record(outcomes: impl IntoIterator<Item = Outcome>) -> Record {
        let mut record = Record::default();
        for (number, outcome) in (0..).zip(outcomes) {
            match outcome {
                Outcome::Answered => record.answered(MS * number, MS),
                Outcome::Lost => record.lost(MS * number),
            }
        }
        record
    }

    fn answered_lost_answered(counts: [usize; 3]) -> impl Iterator<Item = Outcome> + Clone {
        let outcomes = [Outcome::Answered, Outcome::Lost, Outcome::Answered].into_iter().zip(counts);
        outcomes.flat_map(|(outcome, count)| std::iter::repeat_n(outcome, count))
    }

    #[test]
    fn loss_is_the_share_of_recent_probes_without_an_answer() {
        assert_eq!(Record::default().loss(), None);
        assert_eq!(record(answered_lost_answered([1, 25, 74])).loss(), Some(0.25));
        let record = record(answered_lost_answered([1, 25, 174]));
        assert_eq!((record.loss(), record.answered), (Some(0.0), 175));
    }

    #[test]
    fn probes_before_the_first_answered_one_are_no_loss() {
        assert_eq!(record([Outcome::Lost; 20]).loss(), None);
        let mut record = record([Outcome::Lost; 20].into_iter().chain([Outcome::Answered; 80]));
        assert_eq!(record.loss(), Some(0.0));
        // The loss of an early probe is known a second later, when later probes may already be answered.
        record.lost(MS * 19);
        assert_eq!(record.loss(), Some(0.0));
        record.lost(MS * 20);
        assert_eq!(record.loss(), Some(1.0 / 81.0));
    }

    #[test]
    fn percentiles_are_those_of_the_recent_round_trips() {
        let mut record = Record::default();
        for ms in 1..=100 {
            record.answered(Now::ZERO, Duration::from_millis(ms));
        }
        let round_trip = record.round_trip().unwrap();
        assert_eq!((round_trip.min_us, round_trip.p50_us, round_trip.p99_us), (1_000, 50_000, 99_000));
        assert_eq!((round_trip.last_us, round_trip.jitter_us / 100), (100_000, 9), "it approaches 1 ms");
    }
}
