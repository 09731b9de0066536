//! The agent's metrics, in the OpenMetrics text format.

mod dropped;
mod http;
mod mesh;
mod pods;
mod probes;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use carrick_pods::call_log::CallRecord;
use carrick_topology::LocationName;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(super) use dropped::DropReader;
pub(super) use http::{HttpClosed, HttpListener, HttpMetrics};
pub(super) use mesh::{MeshView, PathReader};
use pods::PodMetrics;
pub(super) use probes::ProbeMetrics;

use super::kernel::Outcome;
use super::repeated_drift::RepeatedDrift;
use carrick_core::{ApiState, ApplyOutcome, Cause, Core, Readiness, WriteOutcome};

/// Buckets for the duration of an apply, in seconds: from a comparison on a small node to a thousand new routes.
const APPLY_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The agent's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    applies: Family<ResultLabel, Counter>,
    apply_seconds: Family<PhaseLabel, Histogram>,
    operations: Counter,
    drift_repairs: Family<CauseLabel, Counter>,
    repeated_drift: Gauge,
    repairs: RepeatedDrift,
    publications: Family<ResultLabel, Counter>,
    nodes: Gauge,
    peers: Gauge,
    ready: Gauge,
    api_synced: Gauge,
    warnings: Family<KindLabel, Gauge>,
    faults: Family<KindLabel, Gauge>,
    policy_faults: Gauge,
    gateway_changes: Family<ToLabel, Counter>,
    pods: PodMetrics,
    http: HttpMetrics,
    probes: ProbeMetrics,
    mesh: MeshView,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum Ending {
    Unchanged,
    Changed,
    Waiting,
    Failed,
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: Ending,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToLabel {
    to: String,
}

impl Metrics {
    fn new() -> Self {
        let mut registry = Registry::with_prefix("carrick");
        let pods = PodMetrics::register(&mut registry);
        let http = HttpMetrics::register(&mut registry);
        let probes = ProbeMetrics::register(&mut registry);
        let mesh = MeshView::default();
        registry.register_collector(Box::new(mesh.clone()));
        let mut metrics = Self {
            registry,
            applies: Family::default(),
            apply_seconds: Family::new_with_constructor(|| Histogram::new(APPLY_BUCKETS)),
            operations: Counter::default(),
            drift_repairs: Family::default(),
            repeated_drift: Gauge::default(),
            repairs: RepeatedDrift::default(),
            publications: Family::default(),
            nodes: Gauge::default(),
            peers: Gauge::default(),
            ready: Gauge::default(),
            api_synced: Gauge::default(),
            warnings: Family::default(),
            faults: Family::default(),
            policy_faults: Gauge::default(),
            gateway_changes: Family::default(),
            pods,
            http,
            probes,
            mesh,
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("applies", "Comparisons of the kernel with the plan, by result", self.applies.clone());
        registry.register_with_unit(
            "apply_duration",
            "Time that comparing and changing the kernel took, by phase",
            Unit::Seconds,
            self.apply_seconds.clone(),
        );
        registry.register("operations", "Changes made to the kernel", self.operations.clone());
        registry.register("drift_repairs", "Repairs of what others had changed, by cause", self.drift_repairs.clone());
        registry.register(
            "repeated_drift",
            "Things that were repaired at least three times in ten minutes",
            self.repeated_drift.clone(),
        );
        registry.register("publications", "Writes of the own Node's annotations, by result", self.publications.clone());
        registry.register("nodes", "Nodes known", self.nodes.clone());
        registry.register("peers", "Outside WireGuard devices known", self.peers.clone());
        registry.register("ready", "1 when the node is ready", self.ready.clone());
        registry.register("api_synced", "1 while changes arrive from the API server", self.api_synced.clone());
        registry.register("warnings", "Warnings in force, by kind", self.warnings.clone());
        registry.register("faults", "Faults of the node in force, by kind", self.faults.clone());
        registry.register(
            "admission_policy_faults",
            "Faults of the admission policies that protect the annotations",
            self.policy_faults.clone(),
        );
        registry.register(
            "gateway_changes",
            "Gateways that went down or came back, by location",
            self.gateway_changes.clone(),
        );
        registry.register("build", "The agent's version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    }

    pub(super) fn applied(&self, outcome: &Outcome) {
        let result = match outcome.outcome {
            ApplyOutcome::Unchanged => Ending::Unchanged,
            ApplyOutcome::Changed => Ending::Changed,
            ApplyOutcome::Waiting => Ending::Waiting,
            ApplyOutcome::Failed => Ending::Failed,
        };
        self.applies.get_or_create(&ResultLabel { result }).inc();
        for (phase, took) in outcome.phases.by_name().into_iter().filter(|(_, took)| !took.is_zero()) {
            self.apply_seconds.get_or_create(&PhaseLabel { phase }).observe(took.as_secs_f64());
        }
        self.operations.inc_by(outcome.operations as u64);
        if outcome.is_repair() {
            self.repaired(outcome.cause);
        }
    }

    /// Counts a repair of what another program had changed.
    pub(super) fn repaired(&self, cause: Cause) {
        self.drift_repairs.get_or_create(&CauseLabel { cause: cause.as_str() }).inc();
    }

    /// What is repaired again and again. Clones share it.
    pub(super) const fn repeated_drift(&self) -> &RepeatedDrift {
        &self.repairs
    }

    pub(super) fn published(&self, outcome: WriteOutcome) {
        let result = match outcome {
            WriteOutcome::Complete => Ending::Changed,
            WriteOutcome::Failed => Ending::Failed,
            WriteOutcome::Refused => Ending::Refused,
        };
        self.publications.get_or_create(&ResultLabel { result }).inc();
    }

    /// A gateway of this location went down or came back.
    pub(super) fn gateway_changed(&self, location: &LocationName) {
        self.gateway_changes.get_or_create(&ToLabel { to: location.to_string() }).inc();
    }

    /// The CNI plugin was called.
    pub(super) fn pod_call(&self, record: &CallRecord) {
        self.pods.called(record);
    }

    /// The counts of connections to the pages.
    pub(super) const fn http(&self) -> &HttpMetrics {
        &self.http
    }

    /// The counts of refused packets at the probe port.
    pub(super) const fn probes(&self) -> &ProbeMetrics {
        &self.probes
    }

    /// The metrics that are collected at each scrape.
    pub(super) const fn mesh(&self) -> &MeshView {
        &self.mesh
    }

    /// Sets the metrics of the core's state.
    pub(super) fn turn(&self, core: &Core) {
        set(&self.nodes, core.cluster().nodes.len());
        set(&self.peers, core.cluster().peers.len());
        set(&self.ready, usize::from(core.readiness() == Readiness::Ready));
        set(&self.api_synced, usize::from(core.api_state() == ApiState::Synced));
        set_by_kind(&self.faults, core.faults().iter().map(|fault| fault.kind().as_str()));
    }

    /// Sets the number of warnings of each kind.
    pub(super) fn warned(&self, kinds: impl Iterator<Item = &'static str>) {
        set_by_kind(&self.warnings, kinds);
    }

    /// Takes over how many faults the admission policies have.
    pub(super) fn policy_faults(&self, faults: usize) {
        set(&self.policy_faults, faults);
    }

    /// All metrics as text.
    ///
    /// # Errors
    /// None in practice: writing into a string does not fail.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        set(&self.repeated_drift, self.repairs.in_force(Instant::now()).len());
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Sets how many there are of each kind, and removes the other kinds.
fn set_by_kind(family: &Family<KindLabel, Gauge>, kinds: impl Iterator<Item = &'static str>) {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for kind in kinds {
        *counts.entry(kind).or_default() += 1;
    }
    family.clear();
    for (kind, count) in counts {
        set(&family.get_or_create(&KindLabel { kind }), count);
    }
}

fn set(gauge: &Gauge, value: usize) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}
