//! The thread that owns the kernel's side: it takes plans and makes the kernel hold them, one after the other.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use carrick_dataplane::wireguard::WireGuard;
use carrick_dataplane::{Applied, Dataplane, Keys, Phases, Sighting, Sysctls};
use carrick_topology::handover::HandoverInForce;
use carrick_topology::plan::Scope;
use carrick_topology::{DeviceName, NodePlan, PublicKey};
use tokio::sync::mpsc;

use super::AgentError;
use super::kernel_events::Watches;
use super::repeated_drift::RepeatedDrift;
use carrick_core::{ApplyOutcome, Cause, Fault};

/// An order to apply a plan.
#[derive(Debug)]
pub(super) struct Order {
    /// The plan.
    pub(super) plan: Arc<NodePlan>,
    /// The keys that the plan refers to.
    pub(super) keys: Keys,
    /// The part of the plan to compare.
    pub(super) scope: Scope,
    /// Why now.
    pub(super) cause: Cause,
}

/// The result of an order.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) cause: Cause,
    /// How much was compared.
    pub(super) scope: Scope,
    pub(super) outcome: ApplyOutcome,
    /// Operations carried out, the firewall's included.
    pub(super) operations: usize,
    /// The first change, for the log.
    pub(super) first_change: Option<String>,
    pub(super) took: Duration,
    /// The duration of each phase.
    pub(super) phases: Phases,
    /// The failures, for the status page and the log.
    pub(super) failures: Vec<String>,
    /// The faults that follow.
    pub(super) faults: BTreeSet<Fault>,
    /// The WireGuard peers as they were seen; `None` if the device could not be read.
    pub(super) sightings: Option<BTreeMap<PublicKey, Sighting>>,
    /// Which gateways this node encapsulates to and decapsulates from, now.
    pub(super) handover: HandoverInForce,
}

impl Outcome {
    /// Whether the apply put right what other programs changed.
    pub(super) fn is_repair(&self) -> bool {
        self.cause.is_repair() && self.outcome == ApplyOutcome::Changed
    }
}

/// Starts the thread in the caller's network namespace. It ends when `orders` is closed, and leaves the kernel as it is. Returns what
/// watches for the changes of others.
///
/// # Errors
/// The kernel gives no socket.
pub(super) fn start(
    wireguard: Box<dyn WireGuard>,
    interface: &DeviceName,
    run_directory: PathBuf,
    repeated: RepeatedDrift,
    orders: mpsc::Receiver<Order>,
    outcomes: mpsc::Sender<Outcome>,
) -> Result<Watches, AgentError> {
    let mut kernel = Kernel {
        dataplane: Dataplane::open(wireguard, Sysctls::default(), run_directory)?,
        reported: Vec::new(),
        repeated,
    };
    let watches = Watches {
        routing: kernel.dataplane.watch(interface, &DeviceName::vxlan())?,
        nftables: kernel.dataplane.watch_nftables()?,
    };
    std::thread::Builder::new()
        .name("kernel".to_owned())
        .spawn(move || kernel.serve(orders, &outcomes))
        .map_err(|error| AgentError::Start(format!("a thread: {error}")))?;
    Ok(watches)
}

struct Kernel {
    dataplane: Dataplane,
    /// The failures that were logged last.
    reported: Vec<String>,
    repeated: RepeatedDrift,
}

impl Kernel {
    fn serve(&mut self, mut orders: mpsc::Receiver<Order>, outcomes: &mpsc::Sender<Outcome>) {
        while let Some(order) = orders.blocking_recv() {
            let (outcome, is_news) = self.carry_out(&order);
            if is_news && (outcome.outcome != ApplyOutcome::Waiting || outcome.failures != self.reported) {
                report(&outcome);
            }
            self.reported.clone_from(&outcome.failures);
            if outcomes.blocking_send(outcome).is_err() {
                return;
            }
        }
    }

    /// Returns also whether the outcome belongs into the log: what is repaired again and again has lines of its own there.
    fn carry_out(&mut self, order: &Order) -> (Outcome, bool) {
        let started = Instant::now();
        let scope = if self.dataplane.has_locked_chains() { Scope::Everything } else { order.scope };
        let applied = self.dataplane.apply(&order.plan, &order.keys, scope, SystemTime::now());
        let outcome = outcome_of(&applied);
        let is_repair = order.cause.is_repair() && outcome == ApplyOutcome::Changed;
        let known = self.repeated.in_force(Instant::now());
        let is_news = !is_repair || !applied.changes.iter().all(|change| known.contains_key(change));
        if is_repair {
            self.repeated.note(&applied.changes);
        }
        let waiting = applied.waiting_for.as_ref().map(faults::description);
        let outcome = Outcome {
            cause: order.cause,
            scope,
            faults: faults::faults_of(&applied, &order.plan.wireguard.device),
            outcome,
            operations: applied.operations,
            first_change: applied.changes.first().cloned(),
            took: started.elapsed(),
            phases: applied.phases,
            failures: applied.failures.iter().map(ToString::to_string).chain(waiting).collect(),
            sightings: applied.sightings,
            handover: applied.handover,
        };
        (outcome, is_news)
    }
}

fn outcome_of(applied: &Applied) -> ApplyOutcome {
    match (applied.failures.is_empty(), &applied.waiting_for, applied.operations) {
        (false, _, _) => ApplyOutcome::Failed,
        (true, Some(_), _) => ApplyOutcome::Waiting,
        (true, None, 0) => ApplyOutcome::Unchanged,
        (true, None, _) => ApplyOutcome::Changed,
    }
}

fn report(outcome: &Outcome) {
    let took_ms = outcome.took.as_millis();
    let (cause, operations) = (outcome.cause.as_str(), outcome.operations);
    match outcome.outcome {
        ApplyOutcome::Failed => {
            let first = outcome.failures.first().map_or("", String::as_str);
            tracing::warn!(
                event = "apply_failed",
                cause,
                operations,
                failures = outcome.failures.len(),
                first,
                took_ms
            );
        }
        ApplyOutcome::Waiting => {
            let what = outcome.failures.first().map_or("", String::as_str);
            tracing::warn!(event = "apply_waits", cause, operations, what, took_ms);
        }
        ApplyOutcome::Unchanged => tracing::trace!(event = "nothing_differs", cause, took_ms),
        ApplyOutcome::Changed if outcome.cause.is_repair() => {
            let what = outcome.first_change.as_deref().unwrap_or_default();
            tracing::info!(event = "drift_repaired", cause, operations, what, took_ms);
        }
        ApplyOutcome::Changed => tracing::info!(event = "plan_applied", cause, operations, took_ms),
    }
}
