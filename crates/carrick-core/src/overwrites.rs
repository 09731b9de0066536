//! Whether another program overwrites what this node publishes.
//!
//! Two agents with the same node name, such as one on a copy of the node's disk, would otherwise overwrite each other as fast as the API answers,
//! and all other agents would compute a plan each time. A single change by a person is repaired at once.

use std::time::Duration;

use carrick_backoff::{Backoff, Now};
use carrick_topology::Published;

/// The first delay after the same annotations had to be written again.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(300);
/// Where the API has shown the annotations and lacks one of them, they wait no longer than this after the last write: the node is out of the mesh,
/// and no second agent removes them.
const LONGEST_FOR_ABSENT: Duration = Duration::from_secs(10);
/// Other annotations than those written before wait no longer than this after the last write: other nodes may need them.
const LONGEST_FOR_CHANGED: Duration = Duration::from_secs(30);
/// When the API has shown the annotations for so long, no other program overwrites them. The time is longer than the other agent's longest delay.
const QUIET: Duration = Duration::from_secs(600);
/// So many repeated writes without such a time are no coincidence.
const REPEATED: u32 = 5;

/// What the API shows instead of what this node has to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Not all of it: what another program sets is not absent.
    Absent,
    /// Something else.
    Different,
}

/// What was accepted, and how often the same had to be written again.
#[derive(Debug)]
pub(crate) struct Overwrites {
    accepted: Option<Box<Published>>,
    accepted_at: Now,
    repetitions: u32,
    backoff: Backoff,
    shown_since: Option<Now>,
    /// Whether the API has shown what it accepted last.
    was_shown: bool,
    /// Whether the API has shown what is being written since the write began: it may be gone again when the answer comes.
    is_shown_meanwhile: bool,
}

impl Overwrites {
    pub(crate) const fn new() -> Self {
        Self {
            accepted: None,
            accepted_at: Now::ZERO,
            repetitions: 0,
            backoff: Backoff::new(SHORTEST, LONGEST),
            shown_since: None,
            was_shown: false,
            is_shown_meanwhile: false,
        }
    }

    /// The API has accepted this.
    pub(crate) fn accepted(&mut self, now: Now, written: Box<Published>, chance: f64) {
        if self.accepted.as_ref() == Some(&written) {
            self.repetitions = self.repetitions.saturating_add(1);
            self.backoff.delay(now, chance);
        }
        self.accepted = Some(written);
        self.accepted_at = now;
        self.shown_since = None;
        self.was_shown = self.is_shown_meanwhile;
    }

    /// A write begins.
    pub(crate) const fn begin(&mut self) {
        self.is_shown_meanwhile = false;
    }

    /// When this may be written.
    pub(crate) fn not_before(&self, wanted: &Published, shown: Shown) -> Now {
        match self.accepted.as_deref() {
            Some(accepted) if accepted == wanted && shown == Shown::Absent && self.was_shown => {
                self.backoff.not_before().min(self.accepted_at + LONGEST_FOR_ABSENT)
            }
            Some(accepted) if accepted == wanted => self.backoff.not_before(),
            Some(_) if self.are_repeated() => self.backoff.not_before().min(self.accepted_at + LONGEST_FOR_CHANGED),
            Some(_) | None => Now::ZERO,
        }
    }

    /// Takes note of whether the API shows what this node has to publish.
    pub(crate) fn look(&mut self, now: Now, is_shown: bool) {
        if !is_shown {
            self.shown_since = None;
            return;
        }
        self.was_shown = true;
        self.is_shown_meanwhile = true;
        let since = *self.shown_since.get_or_insert(now);
        if now >= since + QUIET {
            self.repetitions = 0;
            self.backoff.reset();
        }
    }

    /// When the overwrites are over, if none comes before.
    pub(crate) fn due(&self) -> Option<Now> {
        self.shown_since.filter(|_| self.repetitions > 0).map(|since| since + QUIET)
    }

    /// Whether there were several within a short time.
    pub(crate) const fn are_repeated(&self) -> bool {
        self.repetitions >= REPEATED
    }
}
