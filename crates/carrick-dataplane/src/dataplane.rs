//! One call that makes the kernel hold a plan: firewall, devices, peers, routes, handover, in the order in which no packet passes that the
//! plan forbids.
//!
//! 1. The firewall. Where the plan moves destinations to other devices, the firewall permits the old and the new devices.
//! 2. Devices, peers, neighbours, routes and rules ([`Reconciler`]).
//! 3. The routes of packets out of tunnels, to other nodes of the location.
//! 4. The handover.
//! 5. The firewall again, if it permitted more than the plan in step 1.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use carrick_netlink::Error;
use carrick_netlink::monitor::Monitor;
use carrick_topology::handover::HandoverInForce;
use carrick_topology::plan::{FirewallPlan, NodePlan, Scope};
use carrick_topology::{DeviceName, PublicKey};

use crate::apply::Failure;
use crate::desired::{Desired, Keys};
use crate::drift::DriftWatch;
use crate::firewall::{Firewall, LockedChain, TableChange};
use crate::handover::{HandoverDataplane, HandoverError};
use crate::location_routes::LocationRoutes;
use crate::operation::Operation;
use crate::phases::{Phases, StopWatch};
use crate::reconciler::{Poll, Reconciler, Report};
use crate::sighting::Sighting;
use crate::sysctl::Sysctls;
use crate::wireguard::{WireGuard, WireGuardError};

/// The number of changes of an apply that are described.
pub const DESCRIBED: usize = 20;

/// The data path of one node.
#[derive(Debug)]
pub struct Dataplane {
    reconciler: Reconciler,
    firewall: Firewall,
    location_routes: LocationRoutes,
    handover: HandoverDataplane,
    /// What the firewall permits: the latest plan of it that the kernel took.
    permitted: Option<FirewallPlan>,
}

/// What one apply did.
#[derive(Debug)]
pub struct Applied {
    /// Number of changes to the kernel, those to the firewall included. Zero if the kernel held the plan.
    pub operations: usize,
    /// What was changed, for people, in the order of the changes: the first [`DESCRIBED`] of them.
    pub changes: Vec<String>,
    /// What failed. The rest of the plan is applied; a later apply tries again.
    pub failures: Vec<ApplyFailure>,
    /// What must happen to the WireGuard device first, if another process makes it.
    pub waiting_for: Option<Awaited>,
    /// The WireGuard peers as they were before the apply changed them; `None` if the device could not be read.
    pub sightings: Option<BTreeMap<PublicKey, Sighting>>,
    /// What the kernel holds of the plan's handover: nothing of one that failed.
    pub handover: HandoverInForce,
    /// Chains of other programs that drop packets by default and cannot be changed, each with the reason.
    pub locked_chains: BTreeMap<String, LockedChain>,
    /// How long each phase took.
    pub phases: Phases,
}

/// What another process must do for the WireGuard device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// It must start: the device does not exist, or no process speaks for it.
    Process(DeviceName),
    /// It runs, and must answer.
    Answer(DeviceName),
}

/// One part of a plan that the kernel does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ApplyFailure {
    /// The firewall could not be read or changed.
    #[error("firewall: {0}")]
    Firewall(#[source] Error),
    /// The kernel could not be read; of devices, peers, routes and rules, nothing was changed.
    #[error(transparent)]
    Observe(Error),
    /// The kernel refused one change.
    #[error(transparent)]
    Operation(Failure),
    /// The WireGuard device's configuration could not be read.
    #[error(transparent)]
    WireGuard(WireGuardError),
    /// The wanted endpoints could not be written to the run folder.
    #[error("write the file of the wanted endpoints: {0}")]
    EndpointMemory(#[source] io::Error),
    /// The handover could not be applied.
    #[error(transparent)]
    Handover(HandoverError),
}

/// Collects what the steps of one apply did.
#[derive(Debug, Default)]
struct Progress {
    operations: usize,
    changes: Vec<String>,
    failures: Vec<ApplyFailure>,
    waiting_for: Option<Awaited>,
    sightings: Option<BTreeMap<PublicKey, Sighting>>,
    phases: Phases,
}

impl Dataplane {
    /// Opens the sockets in the calling thread's network namespace. `run_folder` holds what must survive the agent but not the machine; it
    /// must exist.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open(wireguard: Box<dyn WireGuard>, sysctls: Sysctls, run_folder: PathBuf) -> Result<Self, Error> {
        Ok(Self {
            reconciler: Reconciler::open(wireguard, sysctls, run_folder)?,
            firewall: Firewall::open()?,
            location_routes: LocationRoutes::open()?,
            handover: HandoverDataplane::open()?,
            permitted: None,
        })
    }

    /// Watches what other programs change of these devices, and of Carrick's routes and rules.
    ///
    /// # Errors
    /// The kernel gives no socket, or could not be read.
    pub fn watch(&mut self, wireguard: &DeviceName, vxlan: &DeviceName) -> Result<DriftWatch, Error> {
        let mut watch = self.reconciler.watch(wireguard, vxlan)?;
        watch.ignore(self.handover.port()?);
        watch.ignore(self.location_routes.port()?);
        Ok(watch)
    }

    /// Watches what other programs change of nftables. The kernel does not say in which table.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn watch_nftables(&self) -> Result<Monitor, Error> {
        self.firewall.watch()
    }

    /// Makes the kernel hold `plan`, and writes only what differs. `scope` says how much of the plan is compared with the kernel.
    ///
    /// A failure stops nothing else: it is returned, and the other parts are applied.
    pub fn apply(&mut self, plan: &NodePlan, keys: &Keys, scope: Scope, now: SystemTime) -> Applied {
        let desired = Desired::new(plan, keys, self.reconciler.maker());
        if scope == Scope::WireGuard
            && let Some(unchanged) = self.poll(&desired, now)
        {
            return unchanged;
        }
        let mut progress = Progress::default();
        let transition = self.transition_to(&plan.firewall);
        self.apply_firewall(transition.as_ref().unwrap_or(&plan.firewall), &mut progress);
        self.reconcile(&desired, scope, now, &mut progress);
        if scope == Scope::Everything {
            self.location_routes.look_again();
            self.handover.look_again();
        }
        self.apply_location_routes(plan, &mut progress);
        self.apply_handover(plan, &mut progress);
        if transition.is_some() {
            self.apply_firewall(&plan.firewall, &mut progress);
        }
        progress.finish(self)
    }

    /// Whether chains of other programs refused the accept rules at the last attempt. The kernel does not announce when such a chain goes.
    #[must_use]
    pub fn has_locked_chains(&self) -> bool {
        !self.firewall.locked_chains().is_empty()
    }

    /// The number of messages and settings that could change something which were sent so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.reconciler.writes() + self.firewall.writes() + self.location_routes.writes() + self.handover.writes()
    }

    /// Reads WireGuard alone; `None` if it is not as planned.
    fn poll(&mut self, desired: &Desired, now: SystemTime) -> Option<Applied> {
        let mut watch = StopWatch::start();
        let Poll::AsPlanned(sightings) = self.reconciler.poll(desired, now) else { return None };
        let phases = Phases { observe: watch.lap(), ..Phases::default() };
        Some(Progress { sightings: Some(sightings), phases, ..Progress::default() }.finish(self))
    }

    /// The firewall for the time in which routes change; `None` if no destination moves to another device.
    fn transition_to(&self, firewall: &FirewallPlan) -> Option<FirewallPlan> {
        let before = self.permitted.as_ref().filter(|before| before.carried_by != firewall.carried_by)?;
        Some(firewall.permitting_also(before))
    }

    fn apply_firewall(&mut self, firewall: &FirewallPlan, progress: &mut Progress) {
        let mut watch = StopWatch::start();
        match self.firewall.apply(firewall) {
            Ok(applied) => {
                self.permitted = Some(firewall.clone());
                // A chain that its owner has locked is no failure of the plan.
                for refused in &applied.refused {
                    tracing::warn!(event = "foreign_chain_refused", error = %refused);
                }
                progress.operations += usize::from(applied.is_change());
                if applied.table != TableChange::None {
                    progress.describe("change the nftables table inet carrick");
                }
                applied.foreign.keys().for_each(|chain| progress.describe(format!("change rules in {chain}")));
            }
            Err(error) => progress.failures.push(ApplyFailure::Firewall(error)),
        }
        progress.phases.firewall += watch.lap();
    }

    fn reconcile(&mut self, desired: &Desired, scope: Scope, now: SystemTime, progress: &mut Progress) {
        let reconciled = match scope {
            Scope::Change => self.reconciler.reconcile_change(desired, now),
            Scope::WireGuard | Scope::Everything => self.reconciler.reconcile(desired, now),
        };
        match reconciled {
            Ok(report) => progress.take_report(report, desired.wireguard_device()),
            Err(error) => progress.failures.push(ApplyFailure::Observe(error)),
        }
    }

    fn apply_location_routes(&mut self, plan: &NodePlan, progress: &mut Progress) {
        match self.location_routes.apply(plan) {
            Ok(applied) => {
                progress.take_operations(&applied.operations);
                progress.failures.extend(applied.failures.into_iter().map(ApplyFailure::Operation));
            }
            Err(error) => progress.failures.push(ApplyFailure::Observe(error)),
        }
    }

    fn apply_handover(&mut self, plan: &NodePlan, progress: &mut Progress) {
        match self.handover.apply(plan) {
            Ok(applied) => progress.take_operations(&applied.operations),
            Err(error) => progress.failures.push(ApplyFailure::Handover(error)),
        }
    }
}

impl Progress {
    fn describe(&mut self, change: impl Into<String>) {
        if self.changes.len() < DESCRIBED {
            self.changes.push(change.into());
        }
    }

    fn take_operations(&mut self, operations: &[Operation]) {
        self.operations += operations.len();
        operations.iter().take(DESCRIBED).for_each(|operation| self.describe(operation.to_string()));
    }

    fn take_report(&mut self, report: Report, wireguard: &DeviceName) {
        self.take_operations(&report.operations);
        self.sightings = report.sightings;
        self.phases = Phases { firewall: self.phases.firewall, ..report.phases };
        self.failures.extend(report.failures.into_iter().map(ApplyFailure::Operation));
        self.waiting_for = report.waiting_for.map(Awaited::Process);
        match report.unreadable_wireguard {
            Some(error) if error.is_silence() => self.waiting_for = Some(Awaited::Answer(wireguard.clone())),
            // The device exists, and its process does not run yet.
            Some(WireGuardError::Unreachable { .. }) => self.waiting_for = Some(Awaited::Process(wireguard.clone())),
            Some(error) => self.failures.push(ApplyFailure::WireGuard(error)),
            None => {}
        }
        self.failures.extend(report.endpoint_memory.map(ApplyFailure::EndpointMemory));
    }

    fn finish(self, dataplane: &Dataplane) -> Applied {
        let Self { operations, changes, failures, waiting_for, sightings, phases } = self;
        let handover = dataplane.handover.in_force().clone();
        let locked_chains = dataplane.firewall.locked_chains();
        Applied { operations, changes, failures, waiting_for, sightings, handover, locked_chains, phases }
    }
}
