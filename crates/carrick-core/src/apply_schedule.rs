//! When the kernel is compared with the plan, and how much of it.

use std::sync::Arc;
use std::time::Duration;

use carrick_backoff::{Backoff, Now};
use carrick_topology::NodePlan;
use carrick_topology::plan::Scope;

use crate::cause::Cause;
use crate::event::ApplyOutcome;

/// Everything in the kernel is compared with the plan this often, even without a notification.
pub const FULL_COMPARISON_INTERVAL: Duration = Duration::from_secs(300);
/// The kernel sends no notification when WireGuard's configuration or some kernel settings change, so that they are read this often.
pub const WIREGUARD_POLL_INTERVAL: Duration = Duration::from_millis(1_500);
/// How often to look for what the agent cannot provide itself. A notification makes it earlier.
pub const WAITING_INTERVAL: Duration = Duration::from_secs(1);

/// After this time without one, a repair is unrelated to those before it, and waits for nothing.
const UNRELATED: Duration = Duration::from_secs(30);

/// Decides when an apply begins. At most one is in progress.
#[derive(Debug)]
pub(crate) struct ApplySchedule {
    wanted: Option<Wanted>,
    in_progress: Option<InProgress>,
    has_applied: bool,
    failures: Backoff,
    repairs: Backoff,
    /// After comparisons that found nothing, for causes that are often unrelated.
    unrelated: Backoff,
    /// What is missing is not looked for before this.
    waiting_until: Now,
    next_full_comparison: Option<Now>,
    next_wireguard_poll: Option<Now>,
}

/// An apply that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    scope: Scope,
    cause: Cause,
}

#[derive(Debug)]
struct InProgress {
    plan: Arc<NodePlan>,
    cause: Cause,
}

impl ApplySchedule {
    pub(crate) const fn new() -> Self {
        Self {
            wanted: None,
            in_progress: None,
            has_applied: false,
            failures: Backoff::new(Duration::from_millis(200), Duration::from_secs(30)),
            // Repairs must not become rare: what another program changes again and again is put right within 100 ms too.
            repairs: Backoff::new(Duration::from_millis(20), Duration::from_millis(60)),
            // A flush of Carrick's table looks like any other commit and must be repaired within 100 ms: 60 ms and a quarter of jitter.
            unrelated: Backoff::new(Duration::from_millis(25), Duration::from_millis(60)),
            waiting_until: Now::ZERO,
            next_full_comparison: None,
            next_wireguard_poll: None,
        }
    }

    /// Whether the kernel has held a plan since the agent started.
    pub(crate) const fn has_applied(&self) -> bool {
        self.has_applied
    }

    /// Asks for an apply. One that was asked for before grows to the larger scope, and happens as early as the more urgent cause demands.
    pub(crate) fn want(&mut self, scope: Scope, cause: Cause) {
        let wanted = match self.wanted {
            None => Wanted { scope, cause },
            Some(before) => {
                // What a new plan writes is no repair, also if something else was notified meanwhile.
                let urgency = |cause: Cause| (self.not_before(cause), cause.is_repair());
                let (sooner, before_that) = (urgency(cause), urgency(before.cause));
                // Causes that are equally urgent now need not be when the apply in progress ends: then an unrelated cause may have to wait.
                let is_freer = before.cause.is_often_unrelated() && !cause.is_often_unrelated();
                let is_stronger = sooner < before_that || (sooner == before_that && (is_freer || scope > before.scope));
                Wanted { scope: scope.max(before.scope), cause: if is_stronger { cause } else { before.cause } }
            }
        };
        self.wanted = Some(wanted);
    }

    /// Asks for a comparison of everything, because something changed that the agent did not change.
    pub(crate) fn want_repair(&mut self, now: Now, cause: Cause) {
        self.waiting_until = Now::ZERO;
        self.repairs.settle(now, UNRELATED);
        self.unrelated.settle(now, UNRELATED);
        self.want(Scope::Everything, cause);
    }

    /// What failed need not fail again: the next attempt waits for nothing.
    pub(crate) const fn forget_failures(&mut self) {
        self.failures.reset();
    }

    /// Asks for the periodic comparisons that are due.
    pub(crate) fn want_periodic(&mut self, now: Now) {
        if self.next_full_comparison.is_some_and(|due| due <= now) {
            self.next_full_comparison = None;
            self.want(Scope::Everything, Cause::Periodic);
        }
        if self.next_wireguard_poll.is_some_and(|due| due <= now) {
            self.next_wireguard_poll = None;
            self.want(Scope::WireGuard, Cause::WireGuardPoll);
        }
    }

    /// When the next periodic comparison is due, or, if there is a plan, the apply that is asked for.
    pub(crate) fn next_deadline(&self, has_plan: bool) -> Option<Now> {
        let apply = self.due().filter(|_| has_plan);
        [apply, self.next_full_comparison, self.next_wireguard_poll].into_iter().flatten().min()
    }

    /// Begins the apply that is due, if there is one. [`ApplySchedule::finish`] must follow.
    pub(crate) fn begin(&mut self, now: Now, plan: &Arc<NodePlan>) -> Option<(Scope, Cause)> {
        self.due().filter(|due| *due <= now)?;
        let Wanted { scope, cause } = self.wanted.take()?;
        self.in_progress = Some(InProgress { plan: Arc::clone(plan), cause });
        Some((scope, cause))
    }

    /// The apply in progress has ended. Returns its plan.
    pub(crate) fn finish(&mut self, now: Now, outcome: ApplyOutcome, chance: f64) -> Option<Arc<NodePlan>> {
        let InProgress { plan, cause } = self.in_progress.take()?;
        match outcome {
            ApplyOutcome::Unchanged => {
                self.failures.reset();
                self.has_applied = true;
                if cause.is_often_unrelated() {
                    self.unrelated.delay(now, chance);
                }
            }
            ApplyOutcome::Changed => {
                self.failures.reset();
                self.has_applied = true;
                // The kernel notifies of the agent's own changes too: only a repair delays the next one.
                if cause.delays_next_repair() {
                    self.repairs.delay(now, chance);
                }
            }
            ApplyOutcome::Waiting => {
                self.failures.reset();
                self.waiting_until = now + WAITING_INTERVAL;
                self.want(Scope::Everything, Cause::Retry);
            }
            ApplyOutcome::Failed => {
                self.failures.delay(now, chance);
                self.want(Scope::Everything, Cause::Retry);
            }
        }
        self.next_wireguard_poll = Some(now + WIREGUARD_POLL_INTERVAL);
        self.next_full_comparison.get_or_insert(now + FULL_COMPARISON_INTERVAL);
        Some(plan)
    }

    fn due(&self) -> Option<Now> {
        self.wanted.filter(|_| self.in_progress.is_none()).map(|wanted| self.not_before(wanted.cause))
    }

    fn not_before(&self, cause: Cause) -> Now {
        if !cause.waits_for_backoff() {
            return Now::ZERO;
        }
        let after_unrelated = if cause.is_often_unrelated() { self.unrelated.not_before() } else { Now::ZERO };
        self.failures.not_before().max(self.repairs.not_before()).max(self.waiting_until).max(after_unrelated)
    }
}
