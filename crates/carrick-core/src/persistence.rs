//! When the cluster's state is saved to disk.

use std::time::Duration;

use carrick_backoff::Now;

/// The cluster's state is saved at most this often.
pub const PERSIST_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Persistence {
    due: Option<Now>,
    last: Option<Now>,
}

impl Persistence {
    /// Takes note of a change.
    pub(crate) fn note(&mut self, now: Now) {
        let earliest = self.last.map_or(now, |last| last + PERSIST_INTERVAL);
        self.due.get_or_insert(earliest.max(now));
    }

    /// When the state must be saved.
    pub(crate) const fn due(&self) -> Option<Now> {
        self.due
    }

    /// Whether the state must be saved now; if so, it counts as saved.
    pub(crate) fn take_due(&mut self, now: Now) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = None;
            self.last = Some(now);
        }
        is_due
    }
}
