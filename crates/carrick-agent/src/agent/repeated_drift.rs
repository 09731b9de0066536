//! Repairs of the same thing again and again: another program writes what the agent writes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Repairs count together within this time.
const WINDOW: Duration = Duration::from_secs(600);
/// The number of repairs of one thing within [`WINDOW`] from which on it is repeated.
const REPEATED: usize = 3;
/// Later repairs are not counted one by one.
const COUNTED: usize = 1_000;

/// The latest repairs of each thing. All threads that repair something share it.
#[derive(Clone, Debug, Default)]
pub(super) struct RepeatedDrift(Arc<Mutex<BTreeMap<String, Repairs>>>);

#[derive(Debug, Default)]
struct Repairs {
    at: VecDeque<Instant>,
    /// The number of repairs with which the next line of the log comes.
    next_report: usize,
}

impl RepeatedDrift {
    /// Takes note of repairs, and logs those that are repeated.
    pub(super) fn note<'a>(&self, things: impl IntoIterator<Item = &'a String>) {
        for (what, repairs) in self.repaired(Instant::now(), things) {
            tracing::warn!(event = "drift_repeats", what, repairs, "another program changes this again and again");
        }
    }

    /// Takes note of repairs. Returns what of them is worth a warning in the log, with the number of repairs: the third repair, and each
    /// time that the number has doubled.
    fn repaired<'a>(&self, now: Instant, things: impl IntoIterator<Item = &'a String>) -> Vec<(String, usize)> {
        let mut all = self.since(now);
        let mut reports = Vec::new();
        for thing in things {
            let repairs = all.entry(thing.clone()).or_default();
            repairs.at.push_back(now);
            if repairs.at.len() > COUNTED {
                repairs.at.pop_front();
            }
            let count = repairs.at.len();
            if count >= repairs.next_report.max(REPEATED) {
                repairs.next_report = count.saturating_mul(2);
                reports.push((thing.clone(), count));
            }
        }
        reports
    }

    /// What is repaired again and again, with the number of repairs in the last ten minutes.
    pub(super) fn in_force(&self, now: Instant) -> BTreeMap<String, usize> {
        let all = self.since(now);
        let repeated = all.iter().filter(|(_, repairs)| repairs.at.len() >= REPEATED);
        repeated.map(|(thing, repairs)| (thing.clone(), repairs.at.len())).collect()
    }

    /// The repairs that count at this moment.
    fn since(&self, now: Instant) -> MutexGuard<'_, BTreeMap<String, Repairs>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, repairs| {
            while repairs.at.front().is_some_and(|at| now.saturating_duration_since(*at) > WINDOW) {
                repairs.at.pop_front();
            }
            !repairs.at.is_empty()
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_log_has_the_third_repair_and_each_doubling() {
        let (repeated, start) = (RepeatedDrift::default(), Instant::now());
        let setting = ["set net/ipv4/ip_forward to 1".to_owned()];
        let counts: Vec<usize> = (0..30)
            .flat_map(|second| repeated.repaired(start + SECOND * second, &setting))
            .map(|(_, count)| count)
            .collect();
        assert_eq!(counts, [3, 6, 12, 24]);
        assert_eq!(repeated.in_force(start + SECOND * 30), [(setting[0].clone(), 30)].into());
    }

    #[test]
    fn repairs_of_different_things_or_long_apart_are_not_repeated() {
        let (repeated, start) = (RepeatedDrift::default(), Instant::now());
        for (minute, thing) in ["a", "b", "a", "c"].into_iter().enumerate() {
            let at = start + SECOND * 60 * u32::try_from(minute).unwrap();
            assert_eq!(repeated.repaired(at, &[thing.to_owned()]), []);
        }
        assert_eq!(repeated.repaired(start + SECOND * 700, &["a".to_owned()]), [], "the first one was too long ago");
        assert_eq!(repeated.repaired(start + SECOND * 701, &["a".to_owned()]), [("a".to_owned(), 3)]);
        assert_eq!(repeated.in_force(start + SECOND * 1_400), BTreeMap::new());
    }
}
