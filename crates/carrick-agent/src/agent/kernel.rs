//! The thread that owns the kernel's side: it takes plans and makes the kernel hold them, one after the other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use carrick_dataplane::drift::DriftWatch;
use carrick_dataplane::firewall::Firewall;
use carrick_dataplane::wireguard::{WireGuard, WireGuardError};
use carrick_dataplane::{Dataplane, Desired, HandoverDataplane, Keys, Phases, Poll, Sighting, Sysctls};
use carrick_topology::constants::vxlan_device;
use carrick_topology::plan::{FirewallPlan, HandoverPlan};
use carrick_topology::{DeviceName, NodePlan, PublicKey};
use tokio::sync::mpsc;

use super::AgentError;
use crate::core::{ApplyOutcome, Scope};

/// One plan to be applied.
#[derive(Debug)]
pub(super) struct Order {
    /// What the kernel must hold.
    pub(super) plan: Arc<NodePlan>,
    /// The keys that the plan refers to.
    pub(super) keys: Keys,
    /// How much of it to compare.
    pub(super) scope: Scope,
    /// Why now.
    pub(super) cause: &'static str,
}

/// What an order came to.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) cause: &'static str,
    pub(super) outcome: ApplyOutcome,
    /// Operations carried out, the firewall's included.
    pub(super) operations: usize,
    pub(super) took: Duration,
    /// What of it the firewall took.
    pub(super) firewall_time: Duration,
    /// What the rest took.
    pub(super) reconcile_phases: Phases,
    /// What went wrong, for the status and the log.
    pub(super) failures: Vec<String>,
    /// The WireGuard peers as they were seen.
    pub(super) sightings: BTreeMap<PublicKey, Sighting>,
    /// Which gateways this node encapsulates to and decapsulates from, now.
    pub(super) handover: carrick_probe::HandoverInForce,
}

impl Outcome {
    /// How long each phase took; a phase that this order did not have took no time at all.
    pub(super) const fn phases(&self) -> [(&'static str, Duration); 4] {
        let Phases { observe, compare, apply } = self.reconcile_phases;
        [("firewall", self.firewall_time), ("observe", observe), ("compare", compare), ("apply", apply)]
    }

    /// Whether something was put right that nobody had planned to change.
    pub(super) fn is_repair(&self) -> bool {
        !matches!(self.cause, "plan" | "retry") && self.outcome == ApplyOutcome::Changed
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
    orders: mpsc::Receiver<Order>,
    outcomes: mpsc::Sender<Outcome>,
) -> Result<DriftWatch, AgentError> {
    let mut kernel = Kernel {
        dataplane: Dataplane::open(wireguard, Sysctls::default(), run_directory)?,
        firewall: Firewall::open()?,
        handover: HandoverDataplane::open()?,
        settled: None,
        trouble: Vec::new(),
        handed_over: carrick_probe::HandoverInForce::default(),
    };
    let watch = kernel.dataplane.watch(interface, &vxlan_device())?;
    std::thread::Builder::new()
        .name("kernel".to_owned())
        .spawn(move || kernel.serve(orders, &outcomes))
        .map_err(|error| AgentError::Start(format!("a thread: {error}")))?;
    Ok(watch)
}

struct Kernel {
    dataplane: Dataplane,
    firewall: Firewall,
    handover: HandoverDataplane,
    /// What the firewall permits since the last order.
    settled: Option<FirewallPlan>,
    /// What the last order could not do.
    trouble: Vec<String>,
    /// What the last order left.
    handed_over: carrick_probe::HandoverInForce,
}

impl Kernel {
    fn serve(&mut self, mut orders: mpsc::Receiver<Order>, outcomes: &mpsc::Sender<Outcome>) {
        while let Some(order) = orders.blocking_recv() {
            let outcome = self.carry_out(&order);
            if outcome.outcome != ApplyOutcome::Waiting || outcome.failures != self.trouble {
                report(&outcome);
            }
            self.trouble.clone_from(&outcome.failures);
            if outcomes.blocking_send(outcome).is_err() {
                return;
            }
        }
    }

    /// The firewall comes first: what it forbids must not pass for a moment. Where ways change, it permits the old ones until the
    /// routes have changed, those of handovers among them.
    fn carry_out(&mut self, order: &Order) -> Outcome {
        let started = Instant::now();
        let desired = Desired::new(&order.plan, &order.keys, self.dataplane.maker());
        if let (Scope::WireGuard, Poll::AsPlanned(sightings)) =
            (order.scope, self.dataplane.poll(&desired, SystemTime::now()))
        {
            return Outcome {
                cause: order.cause,
                outcome: ApplyOutcome::Unchanged,
                operations: 0,
                took: started.elapsed(),
                firewall_time: Duration::ZERO,
                reconcile_phases: Phases { observe: started.elapsed(), ..Phases::default() },
                failures: Vec::new(),
                sightings,
                handover: self.handed_over.clone(),
            };
        }
        let mut failures = Vec::new();
        let mut waiting_for = None;
        let mut sightings = BTreeMap::new();
        let firewall = &order.plan.firewall;
        let before = self.settled.take().filter(|before| before.carried_by != firewall.carried_by);
        let in_between = before.map(|before| firewall.permitting_also(&before));
        let mut operations = self.apply_firewall(in_between.as_ref().unwrap_or(firewall), &mut failures);
        let mut firewall_time = started.elapsed();
        let mut reconcile_phases = Phases::default();
        let reconciled = match order.scope {
            Scope::Change => self.dataplane.reconcile_change(&desired, SystemTime::now()),
            Scope::WireGuard | Scope::Everything => self.dataplane.reconcile(&desired, SystemTime::now()),
        };
        match reconciled {
            Err(error) => failures.push(error.to_string()),
            Ok(report) => {
                operations += report.operations.len();
                sightings = report.sightings;
                reconcile_phases = report.phases;
                failures.extend(report.failures.iter().map(ToString::to_string));
                match report.unreadable_wireguard {
                    // The interface is there, and its process is not, or not yet.
                    Some(WireGuardError::Unreachable { .. }) => {
                        waiting_for = Some(order.plan.wireguard.device.clone());
                    }
                    Some(error) => failures.push(error.to_string()),
                    None => {}
                }
                failures.extend(report.endpoint_memory.map(|error| format!("remember endpoints: {error}")));
                waiting_for = waiting_for.or(report.waiting_for);
            }
        }
        operations += self.hand_over(&order.plan, &mut failures);
        if in_between.is_some() {
            let reconciled_at = Instant::now();
            operations += self.apply_firewall(firewall, &mut failures);
            firewall_time += reconciled_at.elapsed();
        }
        self.settled = Some(firewall.clone());
        let outcome = match (failures.is_empty(), &waiting_for, operations) {
            (false, _, _) => ApplyOutcome::Failed,
            (true, Some(_), _) => ApplyOutcome::Waiting,
            (true, None, 0) => ApplyOutcome::Unchanged,
            (true, None, _) => ApplyOutcome::Changed,
        };
        failures
            .extend(waiting_for.map(|device| {
                format!("wait for device {device}: `carrick userspace-wireguard {device}` does not run")
            }));
        let took = started.elapsed();
        let handover = self.handed_over.clone();
        Outcome {
            cause: order.cause,
            outcome,
            operations,
            took,
            firewall_time,
            reconcile_phases,
            failures,
            sightings,
            handover,
        }
    }

    fn hand_over(&mut self, plan: &NodePlan, failures: &mut Vec<String>) -> usize {
        match self.handover.apply(plan) {
            Ok(applied) => {
                self.handed_over = plan.handover.as_ref().map(handed_over).unwrap_or_default();
                applied.operations.len()
            }
            Err(error) => {
                self.handed_over = carrick_probe::HandoverInForce::default();
                failures.push(error.to_string());
                0
            }
        }
    }

    fn apply_firewall(&mut self, firewall: &FirewallPlan, failures: &mut Vec<String>) -> usize {
        match self.firewall.apply(firewall) {
            Ok(applied) => {
                // Somebody else's locked chain is not ours to fail over.
                for refused in &applied.refused {
                    tracing::warn!(event = "foreign_chain_refused", error = %refused);
                }
                usize::from(applied.is_change())
            }
            Err(error) => {
                failures.push(error.to_string());
                0
            }
        }
    }
}

/// What holds once the plan is applied.
fn handed_over(plan: &HandoverPlan) -> carrick_probe::HandoverInForce {
    let is_used = |next_hop| plan.routes.iter().any(|route| route.via == next_hop);
    let used = plan.receivers.iter().filter(|(_, receiver)| receiver.next_hops.iter().copied().any(is_used));
    carrick_probe::HandoverInForce {
        leads_to: plan.receivers.keys().cloned().collect(),
        encapsulates_to: used.map(|(name, _)| name.clone()).collect(),
        decapsulates_from: plan.senders.keys().cloned().collect(),
    }
}

fn report(outcome: &Outcome) {
    let took_ms = outcome.took.as_millis();
    let (cause, operations) = (outcome.cause, outcome.operations);
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
        ApplyOutcome::Changed if matches!(cause, "plan" | "retry") => {
            tracing::info!(event = "plan_applied", operations, took_ms);
        }
        ApplyOutcome::Changed => tracing::info!(event = "drift_repaired", cause, operations, took_ms),
    }
}
