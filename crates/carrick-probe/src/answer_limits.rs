//! How many answers a node sends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::Now;

/// Answers to one address in a second, at most. A prober sends 50 probes at most.
const ANSWERS_EACH: u32 = 60;
/// Answers to all addresses in a second, at most.
const ANSWERS_IN_ALL: u32 = 2_000;
const WINDOW: Duration = Duration::from_secs(1);

/// Counts answers. Only packets of known nodes are counted.
#[derive(Debug, Default)]
pub(crate) struct AnswerLimits {
    window_began: Now,
    answers: BTreeMap<IpAddr, u32>,
    answers_in_all: u32,
}

impl AnswerLimits {
    /// Whether this address may get an answer now. Counts the answer.
    pub(crate) fn permits_answer(&mut self, now: Now, to: IpAddr) -> bool {
        self.begin_window(now);
        let answers = self.answers.entry(to).or_default();
        let permits = *answers < ANSWERS_EACH && self.answers_in_all < ANSWERS_IN_ALL;
        *answers += u32::from(permits);
        self.answers_in_all += u32::from(permits);
        permits
    }

    fn begin_window(&mut self, now: Now) {
        if now.saturating_sub(self.window_began) >= WINDOW {
            *self = Self { window_began: now, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_one_address_are_limited_and_others_are_still_answered() {
        let mut limits = AnswerLimits::default();
        let (eager, other) = ("10.4.0.1".parse().unwrap(), "10.4.0.2".parse().unwrap());
        let answers = |limits: &mut AnswerLimits, now| (0..1000).filter(|_| limits.permits_answer(now, eager)).count();
        assert_eq!(answers(&mut limits, Now::ZERO), 60);
        assert!(limits.permits_answer(Now::ZERO, other));
        assert_eq!(answers(&mut limits, WINDOW), 60);
    }
}
