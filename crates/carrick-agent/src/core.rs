//! The agent as a state machine: events and the time go in, effects and the next deadline come out.
//!
//! The shell around it drives it in a loop:
//!
//! 1. hand it what happened with [`Core::handle_event`], or [`Core::handle_timeout`] once [`Core::next_deadline`] is over;
//! 2. take effects with [`Core::next_effect`] until there is none, and carry each out;
//! 3. when an effect with an outcome has ended, hand the outcome back as an event.
//!
//! At most one apply and one publication are under way at a time. Nothing here reads a clock or does I/O, so that start-up, debounce,
//! back-off and the loss of the API are tested with a simulated clock.

mod apply;
mod backoff;
mod cause;
mod debounce;
mod event;
mod own;
mod records;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use carrick_kube::own_node::{Interface, OwnFacts, OwnNode, own_facts};
use carrick_kube::watch::Change;
use carrick_topology::Liveness;
use carrick_topology::model::PublicKey;
use carrick_topology::{Cluster, NodeName, NodePlan, PlanError, Settings, plan};

use apply::Wanted;
pub use backoff::Backoff;
use carrick_topology::plan::Scope;
pub use cause::{Cause, DriftKind};
use debounce::Debounce;
pub use event::{ApiState, ApplyOutcome, Effect, Event, PublishOutcome, Waiting};

/// A point of the monotonic clock, as the time since an origin of the shell's choice.
pub type Now = Duration;

/// A safety net: everything in the kernel is compared with the plan this often, even without any notification.
pub const FULL_OBSERVATION_INTERVAL: Duration = Duration::from_secs(300);
/// WireGuard tells nobody when its configuration changes, so that it is asked this often.
pub const WIREGUARD_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The cluster's state is written to disk at most this often.
pub const PERSIST_INTERVAL: Duration = Duration::from_secs(5);

/// What is missing outside of the agent's reach is looked for this often; a notification makes it earlier.
pub const WAITING_INTERVAL: Duration = Duration::from_secs(1);

/// So long the API may take to say what the disk is too old to know, where the kernel already carries traffic: a plan of
/// old knowledge would cut it.
pub const DISK_PATIENCE: Duration = Duration::from_secs(10);

/// Where what is known of the cluster comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Knowledge {
    /// Nowhere: at most a part of the first list has come.
    None,
    /// The disk, and what the API has changed since.
    Disk,
    /// The API.
    Api,
}

/// The state machine.
#[derive(Debug)]
pub struct Core {
    me: NodeName,
    key: PublicKey,
    settings: Arc<Settings>,
    liveness: Liveness,
    /// `None` until WireGuard was asked: what an earlier agent published stays until then.
    sighted: Option<BTreeMap<NodeName, SocketAddr>>,
    own_node: Option<OwnNode>,
    interfaces: Option<Vec<Interface>>,
    facts: Option<OwnFacts>,
    cluster: Arc<Cluster>,
    knowledge: Knowledge,
    /// Nothing is planned from the disk alone before this.
    disk_counts_from: Option<Now>,
    api: ApiState,
    plan: Option<Arc<NodePlan>>,
    plan_error: Option<PlanError>,
    applied_once: bool,
    /// Why the apply that is under way was begun.
    applying: Option<Cause>,
    wanted: Option<Wanted>,
    debounce: Debounce,
    apply_backoff: Backoff,
    drift_backoff: Backoff,
    /// Before this, what is missing outside is not looked for again.
    waiting_until: Now,
    next_full_observation: Option<Now>,
    next_wireguard_poll: Option<Now>,
    publishing: bool,
    publish_backoff: Backoff,
    persist_due: Option<Now>,
    persisted_at: Option<Now>,
    effects: VecDeque<Effect>,
}

impl Core {
    /// A state machine for node `me`, which has this key. The settings' local facts are filled in from events.
    /// `seed` spreads the back-off of different nodes.
    #[must_use]
    pub fn new(me: NodeName, key: PublicKey, settings: Settings, seed: u64) -> Self {
        Self {
            me,
            key,
            settings: Arc::new(settings),
            liveness: Liveness::default(),
            sighted: None,
            own_node: None,
            interfaces: None,
            facts: None,
            cluster: Arc::default(),
            knowledge: Knowledge::None,
            disk_counts_from: None,
            api: ApiState::Lost,
            plan: None,
            plan_error: None,
            applied_once: false,
            applying: None,
            wanted: None,
            debounce: Debounce::default(),
            apply_backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(30), seed),
            drift_backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(5), seed.wrapping_add(1)),
            waiting_until: Now::ZERO,
            next_full_observation: None,
            next_wireguard_poll: None,
            publishing: false,
            publish_backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30), seed.wrapping_add(2)),
            persist_due: None,
            persisted_at: None,
            effects: VecDeque::new(),
        }
    }

    /// Takes note of what happened.
    pub fn handle_event(&mut self, now: Now, event: Event) {
        match event {
            Event::Restored(cluster) => self.restore(now, cluster),
            Event::Changed(changes) => self.take_changes(now, changes),
            Event::Synced => self.take_synced(now),
            Event::OwnNode(own_node) => {
                self.own_node = Some(own_node);
                self.find_facts(now);
            }
            Event::Interfaces(interfaces) => {
                self.interfaces = Some(interfaces);
                self.trust_disk_soon(now);
                self.find_facts(now);
            }
            Event::ApiServers(addresses) => {
                Arc::make_mut(&mut self.settings).local.api_servers = addresses;
                self.replan_soon(now);
            }
            Event::Names(resolved) => {
                Arc::make_mut(&mut self.settings).local.resolved = resolved;
                self.replan_soon(now);
            }
            Event::Liveness(liveness) => {
                self.liveness = liveness;
                self.replan_soon(now);
            }
            Event::PathMtus(path_mtus) => {
                Arc::make_mut(&mut self.settings).local.path_mtus = path_mtus;
                self.replan_soon(now);
            }
            Event::Sighted(sighted) => self.sighted = Some(sighted),
            Event::Drift(kind) => self.take_drift(now, Cause::Drift(kind)),
            // What failed while it was down need not fail again.
            Event::UplinkBack => {
                self.apply_backoff.reset();
                self.take_drift(now, Cause::UplinkUp);
            }
            Event::PresharedKeys => self.want(Scope::Change, Cause::PresharedKey),
            Event::Applied(outcome) => self.take_apply_outcome(now, outcome),
            Event::Published(outcome) => self.take_publish_outcome(now, outcome),
            Event::Api(state) => {
                self.api = state;
                self.publish_if_needed(now);
            }
        }
        self.handle_timeout(now);
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Now) {
        if is_over(self.disk_counts_from, now) {
            self.disk_counts_from = None;
            self.replan_soon(now);
        }
        if self.debounce.take_due(now) {
            self.replan();
        }
        if is_over(self.next_full_observation, now) {
            self.next_full_observation = None;
            self.want(Scope::Everything, Cause::Periodic);
        }
        if is_over(self.next_wireguard_poll, now) {
            self.next_wireguard_poll = None;
            self.want(Scope::WireGuard, Cause::WireGuardPoll);
        }
        self.apply_if_due(now);
        self.publish_if_needed(now);
        self.persist_if_due(now);
    }

    /// When [`Core::handle_timeout`] must be called next, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Now> {
        let publish_retry = self.missing_publication().map(|_| self.publish_backoff.not_before());
        [
            self.disk_counts_from,
            self.debounce.due(),
            self.apply_due(),
            publish_retry,
            self.next_full_observation,
            self.next_wireguard_poll,
            self.persist_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next thing to do.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The plan in force.
    #[must_use]
    pub const fn plan(&self) -> Option<&Arc<NodePlan>> {
        self.plan.as_ref()
    }

    /// Whether the kernel has held a plan since the agent started.
    #[must_use]
    pub const fn has_applied(&self) -> bool {
        self.applied_once
    }

    /// Whether the API is heard.
    #[must_use]
    pub const fn api_state(&self) -> ApiState {
        self.api
    }

    /// The cluster as far as it is known.
    #[must_use]
    pub const fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Which nodes answer, as far as is known.
    #[must_use]
    pub const fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// The settings, with what the node knows of itself.
    #[must_use]
    pub const fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// What the agent waits for.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        match (&self.plan_error, &self.plan) {
            (Some(_), _) => Waiting::ForNode,
            (None, Some(plan)) if plan.pod_cidrs.is_empty() => Waiting::ForPodCidr,
            (None, Some(_)) => Waiting::ForNothing,
            (None, None) => Waiting::ForCluster,
        }
    }

    /// The disk speaks only until the API has spoken.
    fn restore(&mut self, now: Now, cluster: Arc<Cluster>) {
        if self.knowledge == Knowledge::None {
            self.cluster = cluster;
            self.knowledge = Knowledge::Disk;
            self.disk_counts_from = Some(now + DISK_PATIENCE);
            self.trust_disk_soon(now);
        }
    }

    /// A node that carries nothing yet, such as after a reboot, has nothing to lose.
    fn trust_disk_soon(&mut self, now: Now) {
        let Some(interfaces) = &self.interfaces else { return };
        let carries =
            |interface: &Interface| interface.name == self.settings.interface && !interface.addresses.is_empty();
        if self.disk_counts_from.is_some() && !interfaces.iter().any(carries) {
            self.disk_counts_from = Some(now);
        }
    }

    fn take_changes(&mut self, now: Now, changes: Vec<Change>) {
        let cluster = Arc::make_mut(&mut self.cluster);
        for change in changes {
            change.apply(cluster);
        }
        self.persist_soon(now);
        self.replan_soon(now);
    }

    fn take_synced(&mut self, now: Now) {
        self.knowledge = Knowledge::Api;
        self.disk_counts_from = None;
        self.persist_soon(now);
        self.replan_soon(now);
    }

    fn find_facts(&mut self, now: Now) {
        let Some(interfaces) = &self.interfaces else { return };
        let local = self.settings.local.clone();
        match &self.own_node {
            Some(own_node) => {
                let facts = own_facts(own_node, interfaces, &self.settings);
                Arc::make_mut(&mut self.settings).local.internal_devices = facts.internal_devices.clone();
                Arc::make_mut(&mut self.settings).local.uplink_mtu = facts.uplink_mtu;
                self.facts = Some(facts);
            }
            None => {
                own::find_devices(&self.cluster, &self.me, interfaces, &mut Arc::make_mut(&mut self.settings).local)
            }
        }
        // The own Node's annotations are compared with the facts again in any case.
        if self.settings.local != local || self.own_node.is_some() {
            self.replan_soon(now);
        }
    }

    fn replan_soon(&mut self, now: Now) {
        if self.knowledge != Knowledge::None && self.disk_counts_from.is_none() {
            self.debounce.note(now);
        }
    }

    fn replan(&mut self) {
        let cluster =
            own::overlay(&self.cluster, &self.me, self.key, self.facts.as_ref(), self.sighted.as_ref(), &self.settings);
        match plan(&cluster, &self.settings, &self.liveness, &self.me) {
            Ok(new) => self.take_plan(new),
            // What the kernel holds stays: a node that is missing from a list must not lose its mesh.
            Err(error) => self.plan_error = Some(error),
        }
    }

    fn take_plan(&mut self, new: NodePlan) {
        self.plan_error = None;
        let old = self.plan.take();
        let warnings_changed = old.as_ref().map(|old| &old.warnings) != Some(&new.warnings);
        if warnings_changed {
            self.effects.push_back(Effect::Warn(Arc::new(new.warnings.clone())));
        }
        let changed = old.as_ref().is_none_or(|old| **old != new);
        self.plan = Some(Arc::new(new));
        if changed {
            self.want(Scope::Change, Cause::Plan);
        }
    }
}

fn is_over(deadline: Option<Now>, now: Now) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}
