//! Probes of other nodes, and answers to their probes.

mod known_liveness;
mod socket;
mod thread;

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use carrick_core::{Event, Fault, FaultSource, Probing};
use carrick_probe::{PathState, ProberEvent};
use carrick_status::AgentEventKind;
use carrick_topology::handover::HandoverInForce;
use carrick_topology::{Liveness, NodeName};
use carrick_types::SecretKey;
use tokio::sync::mpsc;

use super::AgentError;
use super::metrics::{PathReader, ProbeMetrics};
use super::status::Status;

use known_liveness::KnownLiveness;
use thread::{ProbeThread, ThreadEvent};

/// The event loop's side of the probes.
#[derive(Debug)]
pub(super) struct Probes {
    thread: ProbeThread,
    events: mpsc::UnboundedReceiver<ThreadEvent>,
    known: KnownLiveness,
    liveness: Liveness,
    followed: Option<Arc<Probing>>,
    in_force: HandoverInForce,
}

impl Probes {
    /// Starts to probe and to answer in the caller's network namespace.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(
        interval: Duration,
        private_key: SecretKey,
        run_directory: &FilePath,
        metrics: ProbeMetrics,
    ) -> Result<Self, AgentError> {
        let known = KnownLiveness::in_directory(run_directory);
        let liveness = known.load();
        let (told, events) = mpsc::unbounded_channel();
        let thread = ProbeThread::start(interval, private_key, liveness.clone(), metrics, told)?;
        Ok(Self { thread, events, known, liveness, followed: None, in_force: HandoverInForce::default() })
    }

    /// The liveness that was reported last.
    pub(super) const fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    pub(super) fn path_reader(&self) -> PathReader {
        let thread = self.thread.clone();
        PathReader::new(move || thread.paths())
    }

    /// Probes and answers according to this from now on.
    pub(super) fn follow(&mut self, probing: Arc<Probing>) {
        self.followed = Some(Arc::clone(&probing));
        self.thread.follow(probing);
    }

    /// Probes each target this often from now on.
    pub(super) fn set_interval(&self, interval: Duration) {
        self.thread.set_interval(interval);
    }

    /// Keeps which nodes are down for the next agent on this machine.
    pub(super) fn save_liveness(&self, liveness: &Liveness) {
        self.known.keep(liveness);
    }

    /// Tells other gateways what the kernel holds of handovers.
    pub(super) fn set_handover(&mut self, in_force: HandoverInForce) {
        if in_force != self.in_force {
            self.in_force.clone_from(&in_force);
            self.thread.set_handover(in_force);
        }
    }

    /// The next event of the thread.
    pub(super) async fn next(&mut self) -> Option<ThreadEvent> {
        self.events.recv().await
    }

    /// Logs and counts an event. Returns the event for the core, if the core needs one.
    pub(super) fn take(&mut self, event: ThreadEvent, status: &Status) -> Option<Event> {
        match event {
            ThreadEvent::Prober(event) => self.take_finding(event, status),
            ThreadEvent::PortTaken(addresses) => {
                let faults = addresses.into_iter().map(Fault::ProbePortTaken).collect();
                Some(Event::Faults(FaultSource::ProbePort, faults))
            }
        }
    }

    fn take_finding(&mut self, event: ProberEvent, status: &Status) -> Option<Event> {
        match event {
            ProberEvent::ProbedPath { to, kind, state } => {
                let state = in_words(state);
                tracing::info!(event = "path", %to, ?kind, state);
                status.add_event(AgentEventKind::Path, format!("{to} {state}"));
                let paths = self.thread.paths();
                let is_silent = !paths.is_empty() && paths.iter().all(|path| path.state == PathState::Down);
                let faults = is_silent.then_some(Fault::AllNodesSilent).into_iter().collect();
                Some(Event::Faults(FaultSource::Probes, faults))
            }
            ProberEvent::Liveness(liveness) => {
                for node in liveness.drained.difference(&self.liveness.drained) {
                    tracing::info!(event = "gateway_drained", %node, "other gateways carry its traffic");
                    status.add_event(AgentEventKind::Gateway, format!("gateway {node} drains"));
                }
                let failed = |node: &&NodeName| !liveness.drained.contains(*node);
                for node in liveness.down.difference(&self.liveness.down).filter(failed) {
                    tracing::warn!(event = "gateway_down", %node, "another node carries its traffic, if the location has one that answers");
                    status.add_event(AgentEventKind::Gateway, format!("gateway {node} is down"));
                }
                for node in self.liveness.down.difference(&liveness.down) {
                    tracing::info!(event = "gateway_back", %node);
                    status.add_event(AgentEventKind::Gateway, format!("gateway {node} carries traffic again"));
                }
                let flapped = |node: &&NodeName| failed(node) && !self.liveness.drained.contains(*node);
                for node in liveness.down.symmetric_difference(&self.liveness.down).filter(flapped) {
                    let target = self.followed.as_ref().and_then(|followed| followed.targets.targets.get(node));
                    target.iter().for_each(|target| status.metrics().gateway_changed(&target.location));
                }
                for node in liveness.handover.returning.difference(&self.liveness.handover.returning) {
                    tracing::info!(event = "gateway_returns", %node, "traffic moves back to the gateway");
                }
                if liveness.handover.decapsulating != self.liveness.handover.decapsulating {
                    let nodes = &liveness.handover.decapsulating;
                    tracing::info!(
                        event = "handover",
                        ?nodes,
                        "gateways that accept encapsulated packets from this node"
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
        PathState::Unknown => "was not probed often enough yet",
        PathState::Up => "answers",
        PathState::AgentAway => "is reached, but its agent does not run",
        PathState::Down => "does not answer",
    }
}
