//! What comes in: outcomes of the kernel's thread, changes of the cluster, notices of what others changed.

use std::collections::{BTreeMap, BTreeSet};

use carrick_dataplane::Sighting;
use carrick_kube::watch::{ApiState as WatchState, ClusterEvent};
use carrick_status::AgentEventKind;
use carrick_topology::{NodePlan, PublicKey};

use super::EventLoop;
use crate::agent::drift::Notice;
use crate::agent::kernel::Outcome;
use crate::agent::{names, sightings};
use crate::core::{ApiState, ApplyOutcome, DriftKind, Event};

impl EventLoop {
    pub(super) fn take_outcome(&mut self, outcome: &Outcome) {
        self.status.applied(outcome);
        self.probes.tell_handover(outcome.handover.clone());
        self.event(Event::Applied(outcome.outcome));
        let Some(plan) = self.core.plan().cloned() else { return };
        if matches!(outcome.outcome, ApplyOutcome::Unchanged | ApplyOutcome::Changed) {
            self.probes.follow(&plan, self.core.cluster());
            if self.options.cni {
                self.pods.update(&plan);
            }
        }
        self.take_sightings(&plan, &outcome.sightings);
        self.count_pod_calls();
    }

    fn count_pod_calls(&mut self) {
        match self.call_log.take_new() {
            Ok(calls) => calls.iter().for_each(|call| self.status.metrics().pod_call(call)),
            Err(error) => tracing::debug!(event = "pod_calls_not_counted", %error),
        }
    }

    fn take_sightings(&mut self, plan: &NodePlan, sightings: &BTreeMap<PublicKey, Sighting>) {
        self.status.sighted(&self.core, sightings);
        if sightings.is_empty() {
            return;
        }
        for name in sightings::stale_names(self.core.cluster(), plan, sightings) {
            self.dns.refresh(&name);
        }
        self.peer_statuses.update(plan, sightings);
        self.event(Event::Sighted(sightings::observed_endpoints(plan, sightings)));
    }

    pub(super) fn take_cluster_event(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::Changed(changes) => {
                self.event(Event::Changed(changes));
                self.dns.want(names::wanted(self.core.cluster()));
            }
            ClusterEvent::Synced(uid) => {
                self.uid = Some(uid);
                self.event(Event::Synced);
            }
            ClusterEvent::OwnNode(own_node) => {
                self.warnings.take_own_node(&own_node);
                self.own_node = Some(*own_node.clone());
                self.serve_on_node(&own_node);
                self.event(Event::OwnNode(*own_node));
            }
            ClusterEvent::OwnNodeMissing => {
                tracing::warn!(event = "own_node_missing", node = %self.me, "there is no such Node; what is programmed stays");
            }
            ClusterEvent::Api(WatchState::Synced) => self.take_api_state(ApiState::Synced),
            ClusterEvent::Api(WatchState::Syncing | WatchState::Lost { .. } | WatchState::ForeignCluster { .. }) => {
                self.take_api_state(ApiState::Lost);
            }
        }
    }

    fn take_api_state(&mut self, state: ApiState) {
        if self.core.api_state() != state {
            let text = match state {
                ApiState::Synced => "the API server is heard",
                ApiState::Lost => "the API server is not heard; the data path stays",
            };
            self.status.add_event(AgentEventKind::Api, text.to_owned());
        }
        self.event(Event::Api(state));
    }

    /// Takes all that have come by now together.
    pub(super) async fn take_notices(&mut self, first: Notice) {
        let mut notices = BTreeSet::from([first]);
        while let Ok(notice) = self.notices.try_recv() {
            notices.insert(notice);
        }
        for notice in notices {
            match notice {
                Notice::Own(kind) => {
                    if kind == DriftKind::Device {
                        self.keep_userspace_running().await;
                    }
                    self.event(Event::Drift(kind));
                }
                Notice::Interfaces => self.read_interfaces(),
                Notice::UplinkBack => self.event(Event::UplinkBack),
                Notice::PodRoutes => self.check_pod_routes(),
            }
        }
    }
}
