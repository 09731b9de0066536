//! Changes that come shortly after each other are taken together.

use std::time::Duration;

use carrick_backoff::Now;

/// A burst is over when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(10);
/// The first change of a burst waits no longer than this.
const LONGEST_DELAY: Duration = Duration::from_millis(50);

/// Waits for the end of a burst.
#[derive(Debug, Default)]
pub(crate) struct Debounce {
    burst: Option<Burst>,
}

#[derive(Debug)]
struct Burst {
    first: Now,
    last: Now,
}

impl Debounce {
    /// Takes note of a change.
    pub(crate) fn note(&mut self, now: Now) {
        let first = self.burst.as_ref().map_or(now, |burst| burst.first);
        self.burst = Some(Burst { first, last: now });
    }

    /// When the changes are due.
    pub(crate) fn due(&self) -> Option<Now> {
        self.burst.as_ref().map(|burst| (burst.first + LONGEST_DELAY).min(burst.last + QUIET))
    }

    /// Whether the changes are due now; if so, the burst is over.
    pub(crate) fn take_due(&mut self, now: Now) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            self.burst = None;
        }
        due
    }
}
