//! When the kernel is compared with the plan, and how much of it.

use std::sync::Arc;
use std::time::Duration;

use carrick_topology::plan::Scope;

use super::event::{ApplyOutcome, Effect};
use super::{Cause, Core, FULL_OBSERVATION_INTERVAL, Now, WAITING_INTERVAL, WIREGUARD_POLL_INTERVAL};

/// Repairs that are further apart than this are unrelated: the next one waits for nothing.
const UNRELATED_REPAIRS: Duration = Duration::from_secs(30);

/// An apply that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) scope: Scope,
    pub(super) cause: Cause,
}

impl Core {
    /// Asks for an apply. One that is asked for already grows to the larger scope and happens as early as the more urgent cause demands.
    pub(super) fn want(&mut self, scope: Scope, cause: Cause) {
        let wanted = match self.wanted {
            None => Wanted { scope, cause },
            Some(before) => {
                let is_sooner = self.not_before(cause).cmp(&self.not_before(before.cause));
                let is_stronger = is_sooner.is_lt() || (is_sooner.is_eq() && scope > before.scope);
                Wanted { scope: scope.max(before.scope), cause: if is_stronger { cause } else { before.cause } }
            }
        };
        self.wanted = Some(wanted);
    }

    pub(super) fn take_drift(&mut self, now: Now, cause: Cause) {
        self.waiting_until = Now::ZERO;
        self.want(Scope::Everything, cause);
        self.drift_backoff.settle(now, UNRELATED_REPAIRS);
    }

    /// When the apply that is asked for may begin; `None` where there is none or another one is under way.
    pub(super) fn apply_due(&self) -> Option<Now> {
        let wanted = self.wanted.filter(|_| self.applying.is_none() && self.plan.is_some())?;
        Some(self.not_before(wanted.cause))
    }

    fn not_before(&self, cause: Cause) -> Now {
        if cause.waits_for_backoff() {
            self.apply_backoff.not_before().max(self.drift_backoff.not_before()).max(self.waiting_until)
        } else {
            Now::ZERO
        }
    }

    pub(super) fn apply_if_due(&mut self, now: Now) {
        if self.apply_due().is_none_or(|due| now < due) {
            return;
        }
        let (Some(plan), Some(Wanted { scope, cause })) = (&self.plan, self.wanted.take()) else { return };
        let plan = Arc::clone(plan);
        self.effects.push_back(Effect::Apply { plan, scope, cause });
        self.applying = Some(cause);
    }

    pub(super) fn take_apply_outcome(&mut self, now: Now, outcome: ApplyOutcome) {
        let cause = self.applying.take();
        match outcome {
            ApplyOutcome::Unchanged | ApplyOutcome::Changed => {
                self.apply_backoff.reset();
                self.applied_once = true;
            }
            ApplyOutcome::Waiting => {
                self.apply_backoff.reset();
                self.waiting_until = now + WAITING_INTERVAL;
                self.want(Scope::Everything, Cause::Retry);
            }
            ApplyOutcome::Failed => {
                self.apply_backoff.delay(now);
                self.want(Scope::Everything, Cause::Retry);
            }
        }
        // The kernel notifies of the agent's own changes too: only a repair delays the next one.
        if outcome == ApplyOutcome::Changed && cause.is_some_and(Cause::delays_next_repair) {
            self.drift_backoff.delay(now);
        }
        self.next_wireguard_poll = Some(now + WIREGUARD_POLL_INTERVAL);
        self.next_full_observation.get_or_insert(now + FULL_OBSERVATION_INTERVAL);
    }
}
