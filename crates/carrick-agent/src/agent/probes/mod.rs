//! Probing other nodes, and answering them.

mod known_liveness;
mod socket;
mod thread;

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use carrick_probe::{PathState, ProbedPath, ProberEvent};
use carrick_status::AgentEventKind;
use carrick_topology::handover::HandoverInForce;
use carrick_topology::{Cluster, Liveness, NodePlan};
use tokio::sync::mpsc;

use super::AgentError;
use super::status::Status;
use crate::core::Event;
use known_liveness::KnownLiveness;
use thread::ProbeThread;

/// The event loop's side of the probes.
#[derive(Debug)]
pub(super) struct Probes {
    thread: ProbeThread,
    events: mpsc::UnboundedReceiver<ProberEvent>,
    known: KnownLiveness,
    liveness: Liveness,
    followed: Option<Arc<NodePlan>>,
    in_force: HandoverInForce,
}

/// Gives what is known of each path.
#[derive(Clone, Debug)]
pub(super) struct PathReader(ProbeThread);

impl PathReader {
    pub(super) fn paths(&self) -> Vec<ProbedPath> {
        self.0.paths()
    }
}

impl Probes {
    /// Starts to answer and to probe in the caller's network namespace.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(interval: Duration, run_directory: &FilePath) -> Result<Self, AgentError> {
        let known = KnownLiveness::in_directory(run_directory);
        let liveness = known.load();
        let (told, events) = mpsc::unbounded_channel();
        let thread = ProbeThread::start(interval, liveness.clone(), told)?;
        Ok(Self { thread, events, known, liveness, followed: None, in_force: HandoverInForce::default() })
    }

    /// Which nodes are down, as far as is known.
    pub(super) const fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    pub(super) fn path_reader(&self) -> PathReader {
        PathReader(self.thread.clone())
    }

    /// Probes what a plan says that the kernel holds by now.
    pub(super) fn follow(&mut self, plan: &Arc<NodePlan>, cluster: &Cluster) {
        if self.followed.as_ref().is_none_or(|followed| !Arc::ptr_eq(followed, plan)) {
            self.thread.follow(plan, cluster);
            self.followed = Some(Arc::clone(plan));
        }
    }

    /// Tells other gateways what the kernel holds of handovers by now.
    pub(super) fn tell_handover(&mut self, in_force: HandoverInForce) {
        if in_force != self.in_force {
            self.in_force.clone_from(&in_force);
            self.thread.set_handover(in_force);
        }
    }

    /// The next thing that the probes have to tell.
    pub(super) async fn next(&mut self) -> Option<ProberEvent> {
        self.events.recv().await
    }

    /// Logs it and keeps it; what the core must know of it is returned.
    pub(super) fn take(&mut self, events: ProberEvent, status: &Status) -> Option<Event> {
        match events {
            ProberEvent::ProbedPath { to, kind, state } => {
                let state = in_words(state);
                tracing::info!(event = "path", %to, ?kind, state);
                status.add_event(AgentEventKind::Path, format!("{to} {state}"));
                None
            }
            ProberEvent::Liveness(liveness) => {
                for node in liveness.down.difference(&self.liveness.down) {
                    tracing::warn!(event = "gateway_down", %node, "its standby carries its traffic");
                    status.add_event(
                        AgentEventKind::Gateway,
                        format!("gateway {node} is down: others carry its traffic"),
                    );
                }
                for node in self.liveness.down.difference(&liveness.down) {
                    tracing::info!(event = "gateway_back", %node);
                    status.add_event(AgentEventKind::Gateway, format!("gateway {node} carries traffic again"));
                }
                for node in liveness.down.symmetric_difference(&self.liveness.down) {
                    let target = self.followed.as_ref().and_then(|plan| plan.probes.targets.get(node));
                    target.iter().for_each(|target| status.metrics().gateway_changed(&target.location));
                }
                if liveness.down != self.liveness.down {
                    self.known.keep(&Liveness::without(liveness.down.iter().cloned()));
                }
                for node in liveness.handover.returning.difference(&self.liveness.handover.returning) {
                    tracing::info!(event = "gateway_returns", %node, "it carries traffic again in a moment, or has just begun to");
                }
                if liveness.handover.decapsulating != self.liveness.handover.decapsulating {
                    let nodes = &liveness.handover.decapsulating;
                    tracing::info!(
                        event = "handover",
                        ?nodes,
                        "these take encapsulated what this node forwards to them"
                    );
                }
                self.liveness.clone_from(&liveness);
                Some(Event::Liveness(liveness))
            }
            ProberEvent::PathMtus(path_mtus) => {
                tracing::info!(event = "narrow_paths", bytes = ?path_mtus);
                Some(Event::PathMtus(path_mtus))
            }
        }
    }
}

const fn in_words(state: PathState) -> &'static str {
    match state {
        PathState::Unknown => "is not known yet",
        PathState::Up => "answers",
        PathState::AgentAway => "is reached, and its agent does not run",
        PathState::Down => "does not answer",
    }
}
