//! The state machine.

mod plans;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use carrick_backoff::{Backoff, Now};
use carrick_topology::model::{DnsName, KeyProof, SecretReference};
use carrick_topology::plan::Scope;
use carrick_topology::{Liveness, NodeName, NodePlan, PlanError, PublicKey, Settings};

use crate::apply_schedule::ApplySchedule;
use crate::cause::Cause;
use crate::debounce::Debounce;
use crate::delivery::Delivery;
use crate::event::{ApiState, Effect, Event, PodAddressing, WriteOutcome};
use crate::fault_register::{FaultRegister, FaultSource, Lasting};
use crate::inputs::Inputs;
use crate::jitter::Jitter;
use crate::name_choice::NameChoices;
use crate::names::{names_of, names_to_refresh};
use crate::peer_statuses::PeerStatuses;
use crate::peers::{PeerObservation, observed_endpoints, served_peers};
use crate::persistence::Persistence;
use crate::probing::Probing;
use crate::publication::Publication;

/// The state machine. See the [crate] for how to drive it.
#[derive(Debug)]
pub struct Core {
    inputs: Inputs,
    api: ApiState,
    jitter: Jitter,
    effects: VecDeque<Effect>,

    debounce: Debounce,
    plan: Option<Arc<NodePlan>>,
    plan_error: Option<PlanError>,
    applies: ApplySchedule,
    publication: Publication,
    /// Whether the API has accepted what other nodes need to reach this one.
    is_accepted: bool,
    persistence: Persistence,

    /// The plan that the probes follow, and what they were told.
    probing: Option<(Arc<NodePlan>, Arc<Probing>)>,
    /// What the prober was told, in milliseconds.
    probe_interval_ms: u16,
    names: BTreeSet<DnsName>,
    name_choices: NameChoices,
    preshared_keys: BTreeSet<SecretReference>,
    peer_statuses: PeerStatuses,
    /// The pod network that the kernel holds.
    pod_network: Option<PodAddressing>,
    pod_files: Delivery<PodAddressing>,
    data_path: Delivery<()>,
    faults: FaultRegister,
}

impl Core {
    /// A state machine for node `me`, which has this key. The settings' local facts are filled in from events.
    /// `seed` spreads the back-off of different nodes.
    #[must_use]
    pub fn new(me: NodeName, key: PublicKey, settings: Settings, seed: u64) -> Self {
        let retries = || Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        Self {
            probe_interval_ms: settings.failover_interval_ms,
            inputs: Inputs::new(me, key, settings),
            api: ApiState::Lost,
            jitter: Jitter::new(seed),
            effects: VecDeque::new(),
            debounce: Debounce::default(),
            plan: None,
            plan_error: None,
            applies: ApplySchedule::new(),
            publication: Publication::new(),
            is_accepted: false,
            persistence: Persistence::default(),
            probing: None,
            names: BTreeSet::new(),
            name_choices: NameChoices::default(),
            preshared_keys: BTreeSet::new(),
            peer_statuses: PeerStatuses::default(),
            pod_network: None,
            pod_files: Delivery::new(retries()),
            data_path: Delivery::new(retries()),
            faults: FaultRegister::default(),
        }
    }

    /// The same node, which publishes this proof that it holds the private key.
    #[must_use]
    pub const fn with_key_proof(mut self, proof: KeyProof) -> Self {
        self.inputs.set_key_proof(proof);
        self
    }

    /// Takes note of what happened.
    pub fn handle_event(&mut self, now: Now, event: Event) {
        match event {
            Event::Restored(cluster) => {
                self.inputs.restore(now, cluster);
                self.tell_probe_interval();
                self.resolve_names();
            }
            Event::LivenessRestored(liveness) => self.inputs.set_liveness(liveness),
            Event::Changed(changes) => {
                self.inputs.change(now, changes, self.plan.as_deref());
                self.tell_probe_interval();
                self.resolve_names();
                self.persist_soon(now);
                self.replan_soon(now);
            }
            Event::Synced => {
                self.inputs.complete();
                self.persist_soon(now);
                self.replan_soon(now);
            }
            Event::OwnNode(own_node) => {
                if self.inputs.set_own_node(own_node) {
                    self.replan_soon(now);
                }
            }
            Event::Host(host) => {
                if self.inputs.set_host(now, host) {
                    self.replan_soon(now);
                }
            }
            Event::StrayNeighbours(strays) => {
                if self.inputs.set_stray_neighbours(strays) {
                    self.replan_soon(now);
                }
            }
            Event::InternetNeighbours(neighbours) => {
                if self.inputs.set_internet_neighbours(neighbours) {
                    self.replan_soon(now);
                }
            }
            Event::EndpointMtus(mtus) => {
                if self.inputs.set_endpoint_mtus(mtus) {
                    self.replan_soon(now);
                }
            }
            Event::ApiServers(addresses) => {
                self.inputs.set_api_servers(addresses);
                self.replan_soon(now);
            }
            Event::Names(resolved) => {
                self.inputs.set_names(resolved);
                self.replan_soon(now);
            }
            Event::Liveness(liveness) => {
                self.save_liveness(&liveness);
                self.inputs.set_liveness(liveness);
                self.replan_soon(now);
            }
            Event::PathMtus(path_mtus) => {
                self.inputs.set_path_mtus(path_mtus);
                self.replan_soon(now);
            }
            Event::Peers(observations) => self.take_peers(now, &observations),
            Event::Drift(kind) => self.take_drift(now, Cause::Drift(kind)),
            Event::UplinkUp => {
                self.applies.forget_failures();
                self.take_drift(now, Cause::UplinkUp);
            }
            Event::PodRouteRemoved => self.restore_pod_routes(),
            Event::PresharedKeys => self.applies.want(Scope::Change, Cause::PresharedKey),
            Event::Applied(outcome) => self.take_apply_outcome(now, outcome),
            Event::Published(outcome) => {
                self.is_accepted |= outcome == WriteOutcome::Complete;
                self.publication.finish(now, outcome, self.jitter.next());
            }
            Event::PeerStatusWritten(peer, outcome) => {
                self.peer_statuses.finish(now, &peer, outcome, self.jitter.next());
            }
            Event::PodFilesChanged => self.pod_files.deliver_again(),
            Event::PodFilesWritten(outcome) => self.pod_files.finish(now, outcome, self.jitter.next()),
            Event::DataPathStarted(outcome) => self.data_path.finish(now, outcome, self.jitter.next()),
            Event::Api(state) => self.api = state,
            Event::Faults(source, faults) => self.faults.set(now, source, faults),
        }
        self.handle_timeout(now);
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.inputs.take_disk_due(now) {
            self.replan_soon(now);
        }
        if self.inputs.forget_former_networks(now) {
            self.persist_soon(now);
            self.replan_soon(now);
        }
        if self.debounce.take_due(now) {
            self.replan();
        }
        self.applies.want_periodic(now);
        if self.data_path.begin(now).is_some() {
            self.effects.push_back(Effect::StartDataPath);
        }
        self.apply_if_due(now);
        self.publish_if_due(now);
        self.take_acceptance();
        self.take_faults(now);
        if self.api == ApiState::Synced {
            let statuses = self.peer_statuses.begin(now).into_iter();
            self.effects.extend(statuses.map(|(peer, connection)| Effect::WritePeerStatus { peer, connection }));
        }
        self.effects.extend(self.pod_files.begin(now).map(Effect::WritePodFiles));
        if self.persistence.take_due(now) {
            self.effects.push_back(Effect::Persist(Arc::clone(self.inputs.cluster())));
        }
    }

    /// When [`Core::handle_timeout`] must be called next, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Now> {
        let publication = self.publication_due();
        let statuses = self.peer_statuses.due().filter(|_| self.api == ApiState::Synced);
        [
            self.inputs.disk_counts_from(),
            self.inputs.former_networks_due(),
            self.debounce.due(),
            self.applies.next_deadline(self.plan.is_some()),
            publication,
            self.publication.look_due().filter(|_| self.api == ApiState::Synced),
            statuses,
            self.pod_files.due(),
            self.data_path.due(),
            self.persistence.due(),
            self.faults.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing to do.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn save_liveness(&mut self, liveness: &Liveness) {
        if liveness.down != self.inputs.liveness().down {
            self.effects.push_back(Effect::SaveLiveness(Liveness::without(liveness.down.iter().cloned())));
        }
    }

    fn take_peers(&mut self, now: Now, observations: &BTreeMap<PublicKey, PeerObservation>) {
        let Some(plan) = self.plan.as_ref().filter(|_| !observations.is_empty()) else { return };
        self.inputs.set_observed_endpoints(observed_endpoints(plan, observations));
        self.peer_statuses.update(&served_peers(plan, observations));
        let names = names_to_refresh(self.inputs.cluster(), plan, observations);
        if !names.is_empty() {
            self.effects.push_back(Effect::RefreshNames(names));
        }
        let chosen = self.name_choices.observe(now, plan, observations);
        if self.inputs.set_chosen_addresses(chosen) {
            self.replan_soon(now);
        }
    }

    fn take_drift(&mut self, now: Now, cause: Cause) {
        if cause.may_be_lost_data_path() {
            self.data_path.want_again(());
        }
        self.applies.want_repair(now, cause);
    }

    /// The prober starts with the interval of the flags.
    fn tell_probe_interval(&mut self) {
        let interval_ms = self.inputs.settings().failover_interval_ms;
        if interval_ms != self.probe_interval_ms {
            self.probe_interval_ms = interval_ms;
            self.effects.push_back(Effect::ProbeInterval(Duration::from_millis(interval_ms.into())));
        }
    }

    fn resolve_names(&mut self) {
        let names = names_of(self.inputs.cluster());
        if names != self.names {
            self.names.clone_from(&names);
            self.effects.push_back(Effect::ResolveNames(names));
        }
    }

    /// What is known in part only is not saved.
    fn persist_soon(&mut self, now: Now) {
        if self.inputs.are_complete() {
            self.persistence.note(now);
        }
    }

    fn replan_soon(&mut self, now: Now) {
        if self.inputs.suffice() {
            self.debounce.note(now);
        }
    }

    /// Before the API has accepted what this node publishes, other nodes send to its pods in clear or not at all.
    fn take_acceptance(&mut self) {
        if !self.is_accepted {
            self.is_accepted = self.plan.is_some() && self.inputs.is_published();
        }
    }

    /// Reports faults that last. A fault that takes new pods away keeps a new node from becoming ready at once, and changes nothing of a
    /// ready node before it lasts.
    fn take_faults(&mut self, now: Now) {
        let own = self.own_faults();
        self.faults.set(now, FaultSource::Core, own);
        if self.probing.as_ref().is_none_or(|(_, probing)| probing.targets.targets.is_empty()) {
            self.faults.set(now, FaultSource::Probes, BTreeSet::new());
        }
        if self.inputs.missing_publication().is_none() {
            self.faults.set(now, FaultSource::Publication, BTreeSet::new());
        }
        self.effects.extend(self.faults.take_told(now).map(Effect::TellFaults));
        let Some(network) = self.pod_network.clone().filter(|_| self.is_accepted) else { return };
        match self.faults.blocking(now) {
            None => self.pod_files.want(network),
            Some((fault, Lasting::Yes)) => {
                let fault = Some(fault.clone());
                self.pod_files.want(PodAddressing { fault, ..network });
            }
            Some((_, Lasting::NotYet)) => {}
        }
    }

    /// When what is missing at the API is written.
    fn publication_due(&self) -> Option<Now> {
        let missing = self.inputs.missing_publication().filter(|_| self.api == ApiState::Synced)?;
        self.publication.not_before(&missing, self.inputs.shown(&missing))
    }

    fn publish_if_due(&mut self, now: Now) {
        if self.api != ApiState::Synced {
            return;
        }
        let missing = self.inputs.missing_publication();
        self.publication.look(now, missing.as_ref());
        let Some(wanted) = missing.map(Box::new) else { return };
        if self.publication.not_before(&wanted, self.inputs.shown(&wanted)).is_some_and(|not_before| not_before <= now)
        {
            self.effects.push_back(Effect::Publish(wanted.clone()));
            self.publication.begin(wanted);
        }
    }
}
