//! What the agent tells of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use carrick_dataplane::Sighting;
use carrick_topology::plan::Warning;
use carrick_topology::{NodePlan, PublicKey};
use serde::Serialize;

use super::kernel::Outcome;
use super::metrics::Metrics;
use crate::core::{ApiState, Core, Waiting};

/// The loop counts as stuck when it has not turned for this long.
const LOOP_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Shared between the event loop, which writes it, and the HTTP server.
#[derive(Clone, Debug, Default)]
pub struct Status {
    content: Arc<Mutex<Content>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Content {
    turned_at: Option<Instant>,
    waiting: Option<Waiting>,
    has_applied: bool,
    api: Option<ApiState>,
    plan: Option<Arc<NodePlan>>,
    applies: u64,
    failures: Vec<String>,
    drift_repairs: u64,
    peers: BTreeMap<PublicKey, Sighting>,
}

/// The page `/status`.
#[derive(Debug, Serialize)]
pub struct Page {
    /// The agent's version.
    pub version: &'static str,
    /// Whether `/readyz` says yes.
    pub ready: bool,
    /// What the agent waits for, in words; empty when it waits for nothing.
    pub waiting: String,
    /// Whether the API is heard.
    pub api: &'static str,
    /// How often the kernel was compared with the plan.
    pub applies: u64,
    /// How often something else than the agent had changed what is Carrick's.
    pub drift_repairs: u64,
    /// What the last apply could not do.
    pub failures: Vec<String>,
    /// What was left out of the plan, in words.
    pub warnings: BTreeSet<String>,
    /// The plan in force.
    pub plan: Option<Arc<NodePlan>>,
    /// The WireGuard peers as the device has them.
    pub peers: BTreeMap<PublicKey, PeerState>,
}

/// A WireGuard peer as the device has it.
#[derive(Debug, Serialize)]
pub struct PeerState {
    /// Where its packets last came from, or where it is dialled.
    pub endpoint: Option<SocketAddr>,
    /// The time since the last handshake when the device was last looked at; absent when there was none.
    pub seconds_since_handshake: Option<u64>,
}

impl Status {
    /// Takes over what the core knows; called at each turn of the loop.
    pub(super) fn turn(&self, core: &Core) {
        let mut content = self.lock();
        content.turned_at = Some(Instant::now());
        content.waiting = Some(core.waiting());
        content.has_applied = core.has_applied();
        content.api = Some(core.api_state());
        content.plan = core.plan().cloned();
        drop(content);
        self.metrics.turn(core, self.readiness().is_ok());
    }

    pub(super) fn applied(&self, outcome: &Outcome) {
        let mut content = self.lock();
        content.applies += 1;
        content.drift_repairs += u64::from(outcome.is_repair());
        content.failures = outcome.failures.clone();
        content.peers.clone_from(&outcome.sightings);
        self.metrics.applied(outcome);
    }

    /// What is counted and measured.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether the loop turns.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.lock().turned_at.is_some_and(|at| at.elapsed() < LOOP_PATIENCE)
    }

    /// Why the node is not ready, if it is not: a plan must have been applied.
    ///
    /// # Errors
    /// The reason, in words.
    pub fn readiness(&self) -> Result<(), String> {
        let content = self.lock();
        match (&content.waiting, content.has_applied, content.failures.first()) {
            (None, _, _) => Err("starting".to_owned()),
            (Some(_), true, None) => Ok(()),
            (Some(_), _, Some(failure)) => Err(failure.clone()),
            (Some(waiting), false, None) => Err(in_words(waiting).to_owned()),
        }
    }

    /// The page `/status`.
    #[must_use]
    pub fn page(&self) -> Page {
        let ready = self.readiness().is_ok();
        let content = self.lock();
        let warnings = content.plan.as_ref().map(|plan| plan.warnings.iter().map(Warning::to_string).collect());
        Page {
            version: env!("CARGO_PKG_VERSION"),
            ready,
            waiting: content.waiting.as_ref().map_or("", in_words).to_owned(),
            api: match content.api {
                Some(ApiState::Synced) => "synced",
                Some(ApiState::Lost) | None => "lost",
            },
            applies: content.applies,
            drift_repairs: content.drift_repairs,
            failures: content.failures.clone(),
            warnings: warnings.unwrap_or_default(),
            plan: content.plan.clone(),
            peers: content.peers.iter().map(|(key, sighting)| (*key, PeerState::from(sighting))).collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Sighting> for PeerState {
    fn from(sighting: &Sighting) -> Self {
        let seconds_since_handshake = sighting.since_handshake.map(|since| since.as_secs());
        Self { endpoint: sighting.endpoint, seconds_since_handshake }
    }
}

const fn in_words(waiting: &Waiting) -> &'static str {
    match waiting {
        Waiting::ForCluster => "waiting for the API server: nothing is known of the cluster yet",
        Waiting::ForNode => "waiting for the Node object of this node (is --node-name right?)",
        Waiting::ForPodCidr => {
            "waiting for a pod CIDR (spec.podCIDRs of the Node; does the controller manager allocate them?)"
        }
        Waiting::ForNothing => "",
    }
}
