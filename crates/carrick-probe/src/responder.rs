//! Which probes are answered.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;

/// Answers to one address in a second, at most. A prober sends 50 probes at most.
const ANSWERS_EACH: u32 = 60;
/// Answers to all addresses in a second, at most.
const ANSWERS_IN_ALL: u32 = 2_000;

const WINDOW: Duration = Duration::from_secs(1);

/// Decides which probes are answered: those of known nodes, up to a number a second.
#[derive(Debug, Default)]
pub struct Responder {
    known: BTreeMap<IpAddr, PathKind>,
    window_began: Now,
    answered: BTreeMap<IpAddr, u32>,
    answered_in_all: u32,
}

impl Responder {
    /// Answers probes from these addresses from now on; the values say by which kind of path each one comes.
    pub fn set_known(&mut self, known: BTreeMap<IpAddr, PathKind>) {
        self.known = known;
    }

    /// The kind of path by which a probe from this address came, if the probe is answered now.
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
    fn probes_of_unknown_addresses_are_not_answered() {
        let mut responder = Responder::default();
        let (known, unknown) = ("10.4.0.1".parse().unwrap(), "10.4.0.2".parse().unwrap());
        responder.set_known([(known, PathKind::Tunnel)].into());
        assert_eq!(responder.permits(Now::ZERO, known), Some(PathKind::Tunnel));
        assert_eq!(responder.permits(Now::ZERO, unknown), None);
    }

    #[test]
    fn answers_to_one_address_are_limited_and_others_are_still_answered() {
        let mut responder = Responder::default();
        let (eager, other) = ("10.4.0.1".parse().unwrap(), "10.4.0.2".parse().unwrap());
        responder.set_known([eager, other].map(|address| (address, PathKind::Inside)).into());
        let answered = |responder: &mut Responder, now| (0..1000).filter_map(|_| responder.permits(now, eager)).count();
        assert_eq!(answered(&mut responder, Now::ZERO), 60);
        assert!(responder.permits(Now::ZERO, other).is_some());
        assert_eq!(answered(&mut responder, WINDOW), 60);
    }
}
