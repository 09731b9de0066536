//! When the own annotations are written to the API.

use std::time::Duration;

use carrick_backoff::{Backoff, Now};
use carrick_topology::Published;

use crate::event::WriteOutcome;
use crate::overwrites::{Overwrites, Shown};

/// Lets one publication be in progress at a time, and waits between them.
#[derive(Debug)]
pub(crate) struct Publication {
    in_progress: Option<Box<Published>>,
    backoff: Backoff,
    /// After refusals: only a change of permissions or policies helps, which takes people minutes.
    refusals: Backoff,
    overwrites: Overwrites,
}

impl Publication {
    pub(crate) fn new() -> Self {
        Self {
            in_progress: None,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
            refusals: Backoff::new(Duration::from_secs(5), Duration::from_secs(120)),
            overwrites: Overwrites::new(),
        }
    }

    /// When the publication of this may begin; `None` while one is in progress.
    pub(crate) fn not_before(&self, wanted: &Published, shown: Shown) -> Option<Now> {
        let waits = [self.backoff.not_before(), self.refusals.not_before(), self.overwrites.not_before(wanted, shown)];
        self.in_progress.is_none().then(|| waits.into_iter().max()).flatten()
    }

    /// A publication begins. [`Publication::finish`] must follow.
    pub(crate) fn begin(&mut self, wanted: Box<Published>) {
        self.in_progress = Some(wanted);
        self.overwrites.begin();
    }

    pub(crate) fn finish(&mut self, now: Now, outcome: WriteOutcome, chance: f64) {
        let written = self.in_progress.take();
        match outcome {
            WriteOutcome::Complete => {
                // The watch needs a moment to show what was written.
                self.backoff.reset();
                self.backoff.delay(now, chance);
                self.backoff.settle(now, Duration::ZERO);
                self.refusals.reset();
                if let Some(written) = written {
                    self.overwrites.accepted(now, written, chance);
                }
            }
            WriteOutcome::Failed => drop(self.backoff.delay(now, chance)),
            WriteOutcome::Refused => drop(self.refusals.delay(now, chance)),
        }
    }

    /// Whether another program changes again and again what the API has accepted.
    pub(crate) const fn is_overwritten(&self) -> bool {
        self.overwrites.are_repeated()
    }

    /// Takes note of whether the API shows all that the node has to publish.
    pub(crate) fn look(&mut self, now: Now, missing: Option<&Published>) {
        self.overwrites.look(now, missing.is_none());
    }

    /// When [`Publication::look`] has something to do although nothing changes.
    pub(crate) fn look_due(&self) -> Option<Now> {
        self.overwrites.due()
    }
}
