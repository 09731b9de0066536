//! Many changes at once are taken together.

use std::time::Duration;

use super::Now;

/// A burst is over when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(10);
/// The first change of a burst waits no longer than this.
const LONGEST_DELAY: Duration = Duration::from_millis(50);

/// Waits for the end of a burst.
#[derive(Debug, Default)]
pub(super) struct Debounce {
    burst: Option<Burst>,
}

#[derive(Debug)]
struct Burst {
    first: Now,
    last: Now,
}

impl Debounce {
    /// Takes note of a change.
    pub(super) fn note(&mut self, now: Now) {
        let first = self.burst.as_ref().map_or(now, |burst| burst.first);
        self.burst = Some(Burst { first, last: now });
    }

    /// When the changes will be taken.
    pub(super) fn due(&self) -> Option<Now> {
        self.burst.as_ref().map(|burst| (burst.first + LONGEST_DELAY).min(burst.last + QUIET))
    }

    /// Whether the changes are to be taken now; if so, the burst is over.
    pub(super) fn take_due(&mut self, now: Now) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.burst = None;
        }
        due
    }
}
