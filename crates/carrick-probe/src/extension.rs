//! How much longer a node waits for answers because it was delayed itself: a busy machine, a paused virtual machine.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Now;

/// If the prober runs later than this after its deadline, the node itself was delayed, and missing answers say nothing about other nodes.
const DELAYED_AFTER: Duration = Duration::from_millis(100);
/// The node waits for answers longer by its delay, because other nodes may be as busy: this long at most.
const LONGEST_EXTENSION: Duration = Duration::from_secs(2);
/// For how long after a delay the node waits longer.
const EXTENSION_LASTS: Duration = Duration::from_secs(5);

/// How much longer the node waits.
#[derive(Debug, Default)]
pub(crate) struct Extension {
    /// The latest delays, each with the moment until which it counts: the longest one first. A shorter one that came earlier cannot count.
    delays: VecDeque<(Duration, Now)>,
}

impl Extension {
    /// The prober runs this much later than it should. Returns how much longer it waits for the answers to outstanding probes from now on;
    /// `None` if the node was not delayed.
    pub(crate) fn note_delay(&mut self, now: Now, delay: Duration) -> Option<Duration> {
        if delay <= DELAYED_AFTER {
            return None;
        }
        let time = delay.min(LONGEST_EXTENSION);
        self.delays.retain(|(earlier, until)| *earlier > time && now < *until);
        self.delays.push_back((time, now + EXTENSION_LASTS));
        Some(self.at(now))
    }

    /// How much longer it waits for the answer to a probe that it sends now.
    pub(crate) fn at(&self, now: Now) -> Duration {
        self.delays.iter().find(|(_, until)| now < *until).map_or(Duration::ZERO, |(time, _)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_delay_of_the_latest_five_seconds_counts() {
        let (ms, at) = (Duration::from_millis, Duration::from_secs);
        let mut extension = Extension::default();
        assert_eq!((extension.note_delay(at(10), ms(100)), extension.at(at(10))), (None, ms(0)));
        assert_eq!(extension.note_delay(at(10), ms(700)), Some(ms(700)));
        assert_eq!(extension.note_delay(at(14), ms(300)), Some(ms(700)));
        assert_eq!((extension.at(at(15)), extension.at(at(18)), extension.at(at(19))), (ms(300), ms(300), ms(0)));
        assert_eq!(extension.note_delay(at(3600), at(3000)), Some(at(2)), "a machine that was suspended");
    }
}
