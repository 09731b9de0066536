//! The state of the agent, for its pages.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use carrick_dataplane::Sighting;
use carrick_kube::watch::ApiStatus;
use carrick_status::{AgentEventKind, ApiConnection, FaultReport, FaultSeverity, StatusPage, Traffic, unix_ms};
use carrick_status::{REPEATED_DRIFT_REMEDY, describe_repeated_drift};
use carrick_topology::Liveness;
use carrick_topology::{LocationName, Node, NodeName, NodePlan, PublicKey, Settings};
use carrick_topology::{ObjectName, Warning};

use super::events::RecentEvents;
use super::kernel::Outcome;
use super::metrics::{DropReader, Metrics, PathReader};
use super::sightings::{locations_of_peers, peer_states};
use super::traffic::{Bytes, TrafficMeter};
use carrick_core::{ApiState, Cause, Consequence, Core, Fault, Readiness};

/// The loop counts as stuck when it has not turned for this long.
const LOOP_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Shared between the event loop, which writes it, and the HTTP server.
#[derive(Clone, Debug)]
pub struct Status {
    node: NodeName,
    started_at: Instant,
    content: Arc<Mutex<Content>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Content {
    turned_at: Option<Instant>,
    readiness: Option<Readiness>,
    faults: BTreeSet<Fault>,
    api: Option<ApiState>,
    settings: Option<Arc<Settings>>,
    plan: Option<Arc<NodePlan>>,
    own_node: Option<Node>,
    applies: u64,
    failures: Vec<String>,
    policy_faults: BTreeSet<String>,
    drift_repairs: u64,
    liveness: Liveness,
    events: RecentEvents,
}

impl Content {
    fn count_repair(&mut self, cause: Cause) {
        self.drift_repairs += 1;
        self.events.add(AgentEventKind::DriftRepair, format!("put right what others had changed: {cause}"));
    }
}

impl Status {
    /// The status of an agent that starts now.
    #[must_use]
    pub fn new(node: NodeName) -> Self {
        Self { node, started_at: Instant::now(), content: Arc::default(), metrics: Arc::default() }
    }

    /// Copies the core's state. The event loop calls this after each event.
    pub(super) fn turn(&self, core: &Core) {
        let mut content = self.lock();
        content.turned_at = Some(Instant::now());
        content.readiness = Some(core.readiness());
        content.faults = core.faults();
        content.api = Some(core.api_state());
        content.settings = Some(Arc::clone(core.settings()));
        content.plan = core.plan().cloned();
        content.liveness.clone_from(core.liveness());
        content.own_node = core.cluster().nodes.get(&self.node).cloned();
        drop(content);
        self.metrics.mesh().with(|mesh| mesh.plan = core.plan().cloned());
        self.metrics.turn(core);
    }

    /// Sets the source of the paths, which each request reads.
    pub(super) fn read_paths_from(&self, reader: PathReader) {
        self.metrics.mesh().with(|mesh| mesh.path_reader = Some(reader));
    }

    /// Where the packets that the firewall dropped are read from when a page is asked for.
    pub(super) fn read_drops_from(&self, reader: DropReader) {
        self.metrics.mesh().with(|mesh| mesh.drop_reader = Some(reader));
    }

    /// Sets the source of the state of the connection to the API server.
    pub(super) fn read_api_from(&self, api: Arc<ApiStatus>) {
        self.metrics.mesh().with(|mesh| mesh.api = Some(api));
    }

    /// Takes over what is wrong with the admission policies.
    pub(super) fn take_policy_faults(&self, faults: BTreeSet<String>) {
        self.metrics.policy_faults(faults.len());
        let mut content = self.lock();
        for fault in faults.difference(&content.policy_faults).cloned().collect::<Vec<_>>() {
            content.events.add(AgentEventKind::Warning, fault);
        }
        content.policy_faults = faults;
    }

    /// Records an event for the page `/status`.
    pub(super) fn add_event(&self, kind: AgentEventKind, text: String) {
        self.lock().events.add(kind, text);
    }

    /// Sets the state of the peers; `None` if the device could not be read.
    pub(super) fn sighted(&self, core: &Core, sightings: Option<&BTreeMap<PublicKey, Sighting>>) {
        let Some(plan) = core.plan() else { return };
        let now = self.started_at.elapsed();
        self.metrics.mesh().with(|mesh| {
            mesh.locations = locations_of_peers(plan, core.cluster());
            mesh.traffic.take(now, &mesh.locations, sightings);
            mesh.sightings = sightings.cloned().unwrap_or_default();
        });
    }

    /// Records that a part of the agent other than the kernel thread put right what another program had changed.
    pub(super) fn repaired(&self, cause: Cause, what: String) {
        self.lock().count_repair(cause);
        self.metrics.repaired(cause);
        self.metrics.repeated_drift().note([&what]);
    }

    pub(super) fn applied(&self, outcome: &Outcome) {
        let mut content = self.lock();
        if outcome.is_repair() {
            content.count_repair(outcome.cause);
        }
        if let Some(failure) = outcome.failures.first().filter(|failure| content.failures.first() != Some(failure)) {
            content.events.add(AgentEventKind::Failure, failure.clone());
        }
        content.applies += 1;
        content.failures = outcome.failures.clone();
        self.metrics.applied(outcome);
    }

    /// The plan in force.
    pub(super) fn plan(&self) -> Option<Arc<NodePlan>> {
        self.lock().plan.clone()
    }

    /// The own Node object, as far as it is known.
    pub(super) fn own_node(&self) -> Option<Node> {
        self.lock().own_node.clone()
    }

    /// The metrics.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether the loop turns.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.lock().turned_at.is_some_and(|at| at.elapsed() < LOOP_PATIENCE)
    }

    /// The answer of `/readyz`: whether the node is ready, and the faults with their remedies, and the warnings about this node, one in
    /// each line.
    #[must_use]
    pub fn readiness(&self) -> (Readiness, String) {
        let (readiness, warnings) = {
            let content = self.lock();
            let Some(readiness) = content.readiness else { return (Readiness::NotReady, "starting\n".to_owned()) };
            (readiness, content.plan.as_deref().map(|plan| self.own_warnings(plan)).unwrap_or_default())
        };
        let mut body = if readiness == Readiness::Ready { "ok\n".to_owned() } else { String::new() };
        for report in self.fault_reports() {
            body += &match report.severity {
                FaultSeverity::NotReady => format!("{report}\n"),
                FaultSeverity::Warning => format!("warning: {report}\n"),
            };
        }
        if let Some(drift) = describe_repeated_drift(&self.metrics.repeated_drift().in_force(Instant::now())) {
            body += &format!("warning: {drift} -> {REPEATED_DRIFT_REMEDY}\n");
        }
        warnings.iter().for_each(|warning| body += &format!("warning: {warning}\n"));
        (readiness, body)
    }

    /// The warnings about this node; those about other objects are on the page `/status`.
    fn own_warnings(&self, plan: &NodePlan) -> Vec<String> {
        let is_own = |warning: &&Warning| {
            warning.reason.concerns_single_nodes() || warning.object == ObjectName::Node(self.node.clone())
        };
        plan.warnings.iter().filter(is_own).map(Warning::to_string).collect()
    }

    /// The faults in force, first those that make the node not ready.
    fn fault_reports(&self) -> Vec<FaultReport> {
        let content = self.lock();
        let devices = content.plan.as_ref().map(|plan| plan.firewall.mesh_devices.clone()).unwrap_or_default();
        let report = |fault: &Fault| FaultReport {
            kind: fault.kind().to_string(),
            severity: match (fault.consequence(), content.readiness) {
                (Consequence::NoNewPods, _) | (Consequence::NotReadyAtStart, Some(Readiness::NotReady) | None) => {
                    FaultSeverity::NotReady
                }
                (Consequence::NotReadyAtStart, Some(Readiness::Ready)) | (Consequence::Warning, _) => {
                    FaultSeverity::Warning
                }
            },
            text: fault.to_string(),
            remedy: fault.remedy(&devices),
        };
        let mut reports: Vec<FaultReport> = content.faults.iter().map(report).collect();
        reports.sort_by_key(|report| report.severity);
        reports
    }

    /// The page `/status`.
    #[must_use]
    pub fn page(&self) -> StatusPage {
        let faults = self.fault_reports();
        let (peers, traffic, reader) = self.metrics.mesh().with(|mesh| {
            let peers = peer_states(&mesh.sightings);
            (peers, traffic(mesh.plan.as_deref(), &mesh.traffic), mesh.path_reader.clone())
        });
        let content = self.lock();
        let warnings = content.plan.as_ref().map(|plan| plan.warnings.iter().map(Warning::to_string).collect());
        StatusPage {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: Some(self.node.clone()),
            unix_ms: unix_ms(SystemTime::now()),
            running_seconds: self.started_at.elapsed().as_secs(),
            ready: content.readiness == Some(Readiness::Ready),
            waiting: content.faults.iter().find(|fault| fault.is_waiting()).map(Fault::to_string).unwrap_or_default(),
            api: match content.api {
                Some(ApiState::Synced) => ApiConnection::Synced,
                Some(ApiState::Lost) | None => ApiConnection::Lost,
            },
            applies: content.applies,
            drift_repairs: content.drift_repairs,
            repeated_drift: self.metrics.repeated_drift().in_force(Instant::now()),
            failures: content.failures.clone(),
            warnings: warnings.unwrap_or_default(),
            policy_faults: content.policy_faults.clone(),
            faults,
            settings: content.settings.clone(),
            plan: content.plan.clone(),
            peers,
            liveness: content.liveness.clone(),
            paths: reader.map(|reader| reader.paths()).unwrap_or_default(),
            traffic,
            events: content.events.list(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn traffic(plan: Option<&NodePlan>, meter: &TrafficMeter) -> Vec<Traffic> {
    let Some(plan) = plan else { return Vec::new() };
    let traffic = |(to, bytes): (&LocationName, &Bytes)| Traffic {
        from: plan.location.name.clone(),
        to: to.clone(),
        sent_bytes: bytes.sent,
        sent_bytes_per_second: meter.rate(to),
    };
    meter.totals().iter().map(traffic).collect()
}
