//! Who is answered, and how often.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;

/// Answers to one address in a second: a prober asks at most 50 times.
const ANSWERS_EACH: u32 = 60;
/// Answers to all addresses in a second.
const ANSWERS_IN_ALL: u32 = 2_000;

const WINDOW: Duration = Duration::from_secs(1);

/// Decides which questions are answered: those of known nodes, as long as they are not too many.
#[derive(Debug, Default)]
pub struct Responder {
    known: BTreeMap<IpAddr, PathKind>,
    window_began: Now,
    answered: BTreeMap<IpAddr, u32>,
    answered_in_all: u32,
}

impl Responder {
    /// Answers these addresses from now on; their questions come these ways.
    pub fn set_known(&mut self, known: BTreeMap<IpAddr, PathKind>) {
        self.known = known;
    }

    /// Whether a question from this address is answered now; if so, which way it came.
    pub fn permits(&mut self, now: Now, from: IpAddr) -> Option<PathKind> {
        let kind = *self.known.get(&from)?;
        if now.saturating_sub(self.window_began) >= WINDOW {
            self.window_began = now;
            self.answered.clear();
            self.answered_in_all = 0;
        }
        let answered = self.answered.entry(from).or_default();
        let permits = *answered < ANSWERS_EACH && self.answered_in_all < ANSWERS_IN_ALL;
        *answered += u32::from(permits);
        self.answered_in_all += u32::from(permits);
        permits.then_some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_nodes_are_answered() {
        let mut responder = Responder::default();
        let (known, stranger) = ("10.4.0.1".parse().unwrap(), "10.4.0.2".parse().unwrap());
        responder.set_known([(known, PathKind::Tunnel)].into());
        assert_eq!(responder.permits(Now::ZERO, known), Some(PathKind::Tunnel));
        assert_eq!(responder.permits(Now::ZERO, stranger), None);
    }

    #[test]
    fn nobody_is_answered_without_end() {
        let mut responder = Responder::default();
        let (eager, other) = ("10.4.0.1".parse().unwrap(), "10.4.0.2".parse().unwrap());
        responder.set_known([eager, other].map(|address| (address, PathKind::Inside)).into());
        let answered = |responder: &mut Responder, now| (0..1000).filter_map(|_| responder.permits(now, eager)).count();
        assert_eq!(answered(&mut responder, Now::ZERO), 60);
        assert!(responder.permits(Now::ZERO, other).is_some());
        assert_eq!(answered(&mut responder, WINDOW), 60);
    }
}
