//! When the own annotations are written to the API.

use std::time::Duration;

use carrick_backoff::{Backoff, Now};

use crate::event::WriteOutcome;

/// Lets one publication be in progress at a time, and waits between them.
#[derive(Debug)]
pub(crate) struct Publication {
    is_in_progress: bool,
    backoff: Backoff,
    /// After refusals: only a change of permissions or policies helps, which takes people minutes.
    refusals: Backoff,
}

impl Publication {
    pub(crate) const fn new() -> Self {
        Self {
            is_in_progress: false,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            refusals: Backoff::new(Duration::from_secs(5), Duration::from_secs(120)),
        }
    }

    /// When the next publication may begin; `None` while one is in progress.
    pub(crate) fn not_before(&self) -> Option<Now> {
        (!self.is_in_progress).then(|| self.backoff.not_before().max(self.refusals.not_before()))
    }

    /// A publication begins. [`Publication::finish`] must follow.
    pub(crate) const fn begin(&mut self) {
        self.is_in_progress = true;
    }

    pub(crate) fn finish(&mut self, now: Now, outcome: WriteOutcome, chance: f64) {
        self.is_in_progress = false;
        match outcome {
            WriteOutcome::Complete => {
                // The watch needs a moment to show what was written.
                self.backoff.delay(now, chance);
                self.backoff.settle(now, Duration::ZERO);
                self.refusals.reset();
            }
            WriteOutcome::Failed => drop(self.backoff.delay(now, chance)),
            WriteOutcome::Refused => drop(self.refusals.delay(now, chance)),
        }
    }
}
