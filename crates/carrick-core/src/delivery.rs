//! A value that something outside of the core must come to hold.

use carrick_backoff::{Backoff, Now};

use crate::event::WriteOutcome;

/// Brings a value to its receiver: one attempt at a time, and another one after a back-off until one succeeds.
#[derive(Debug)]
pub(crate) struct Delivery<T> {
    wanted: Option<T>,
    delivered: Option<T>,
    attempt: Attempt<T>,
    backoff: Backoff,
}

#[derive(Debug)]
enum Attempt<T> {
    None,
    /// This value is being delivered.
    InProgress(T),
    /// A value is being delivered that counts no longer.
    Outdated,
}

impl<T: Clone + PartialEq> Delivery<T> {
    /// Nothing is wanted, and the receiver holds nothing.
    pub(crate) const fn new(backoff: Backoff) -> Self {
        Self { wanted: None, delivered: None, attempt: Attempt::None, backoff }
    }

    /// From now on the receiver must hold this value.
    pub(crate) fn want(&mut self, value: T) {
        self.wanted = Some(value);
    }

    /// Delivers this value, even if the receiver was given it before.
    pub(crate) fn want_again(&mut self, value: T) {
        self.wanted = Some(value);
        self.delivered = None;
    }

    /// The receiver may have lost what it held: delivers the wanted value again.
    pub(crate) fn deliver_again(&mut self) {
        self.delivered = None;
        if let Attempt::InProgress(_) = self.attempt {
            self.attempt = Attempt::Outdated;
        }
    }

    /// The receiver no longer concerns this node. What it holds is unknown from now on.
    pub(crate) fn forget(&mut self) {
        self.wanted = None;
        self.delivered = None;
        if matches!(self.attempt, Attempt::InProgress(_)) {
            self.attempt = Attempt::Outdated;
        }
    }

    /// Nothing is wanted, and no attempt is in progress.
    pub(crate) const fn is_idle(&self) -> bool {
        self.wanted.is_none() && matches!(self.attempt, Attempt::None)
    }

    /// When the next attempt may begin, if one is needed.
    pub(crate) fn due(&self) -> Option<Now> {
        let is_needed = self.wanted.is_some() && self.wanted != self.delivered;
        (is_needed && matches!(self.attempt, Attempt::None)).then(|| self.backoff.not_before())
    }

    /// The value to be delivered now. [`Delivery::finish`] must follow.
    pub(crate) fn begin(&mut self, now: Now) -> Option<T> {
        let value = self.wanted.clone().filter(|_| self.due().is_some_and(|due| due <= now))?;
        self.attempt = Attempt::InProgress(value.clone());
        Some(value)
    }

    /// The attempt that was in progress has ended.
    pub(crate) fn finish(&mut self, now: Now, outcome: WriteOutcome, chance: f64) {
        let attempt = std::mem::replace(&mut self.attempt, Attempt::None);
        match outcome {
            WriteOutcome::Complete => {
                self.backoff.reset();
                if let Attempt::InProgress(value) = attempt {
                    self.delivered = Some(value);
                }
            }
            WriteOutcome::Failed | WriteOutcome::Refused => drop(self.backoff.delay(now, chance)),
        }
    }
}
