//! Converts inputs to events of the core: outcomes of the kernel thread, changes of the cluster, notifications of the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use carrick_core::{ApiState, Cause, Event, FaultSource};
use carrick_kube::watch::{ApiState as WatchState, ClusterEvent};
use carrick_status::AgentEventKind;
use carrick_topology::plan::Scope;

use crate::agent::event_loop::EventLoop;
use crate::agent::interfaces;
use crate::agent::kernel::Outcome;
use crate::agent::kernel_events::KernelEvent;
use crate::agent::sightings::observations;
use crate::agent::{endpoint_mtus, stray_neighbours};

impl EventLoop {
    pub(super) fn take_outcome(&mut self, outcome: &Outcome) {
        self.status.applied(outcome);
        self.probes.set_handover(outcome.handover.clone());
        self.event(Event::Applied(outcome.outcome));
        // Reading WireGuard alone says nothing of what a comparison of everything found.
        if outcome.scope > Scope::WireGuard || !outcome.faults.is_empty() {
            self.event(Event::Faults(FaultSource::Kernel, outcome.faults.clone()));
        }
        self.status.sighted(&self.core, outcome.sightings.as_ref());
        self.event(Event::Peers(outcome.sightings.as_ref().map(observations).unwrap_or_default()));
        if outcome.cause != Cause::WireGuardPoll {
            self.look_up_routes();
        }
        self.count_pod_calls();
    }

    fn count_pod_calls(&mut self) {
        match self.call_log.take_new() {
            Ok(calls) => calls.iter().for_each(|call| self.status.metrics().pod_call(call)),
            Err(error) => tracing::debug!(event = "pod_calls_not_counted", %error),
        }
    }

    /// A write in the background has ended.
    pub(super) fn take_finished(&mut self, event: Event) {
        if let Event::Published(outcome) = &event {
            self.status.metrics().published(*outcome);
        }
        self.event(event);
    }

    pub(super) fn take_cluster_event(&mut self, event: ClusterEvent) {
        match event {
            ClusterEvent::Changed(changes) => {
                let label = self.core.settings().topology_label.clone();
                self.event(Event::Changed(changes));
                if label != self.core.settings().topology_label {
                    self.tell_own_node();
                }
            }
            ClusterEvent::Synced(uid) => {
                self.uid = Some(uid);
                self.event(Event::Synced);
            }
            ClusterEvent::OwnNode(own_node) => {
                self.reporter.take_own_node(&own_node);
                self.serve_on_internal_address(&own_node);
                self.own_node = Some(*own_node);
                self.tell_own_node();
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

    /// The topology label decides how the own Node is read.
    fn tell_own_node(&mut self) {
        if let Some(own_node) = &self.own_node {
            let parsed = own_node.parsed(&self.core.settings().topology_label);
            self.event(Event::OwnNode(Box::new(parsed)));
        }
    }

    fn take_api_state(&mut self, state: ApiState) {
        if self.core.api_state() != state {
            let text = match state {
                ApiState::Synced => "the API server answers",
                ApiState::Lost => "the API server does not answer; the data path stays",
            };
            self.status.add_event(AgentEventKind::Api, text.to_owned());
        }
        self.event(Event::Api(state));
    }

    /// Handles all events that are in the channel together.
    pub(super) fn take_kernel_events(&mut self, first: KernelEvent) {
        let mut events = BTreeSet::from([first]);
        while let Ok(event) = self.kernel_events.try_recv() {
            events.insert(event);
        }
        for event in events {
            match event {
                KernelEvent::Own(kind) => self.event(Event::Drift(kind)),
                KernelEvent::Interfaces => self.read_interfaces(),
                KernelEvent::UplinkUp => self.event(Event::UplinkUp),
                KernelEvent::PodRouteRemoved => self.event(Event::PodRouteRemoved),
                KernelEvent::PodFilesChanged => self.event(Event::PodFilesChanged),
            }
        }
    }

    pub(super) fn read_interfaces(&mut self) {
        self.end_connections_from_lost_addresses();
        match interfaces::find() {
            Ok(host) => {
                if self.host.as_ref() != Some(&host) {
                    self.client.connections().network_changed();
                    self.host = Some(host.clone());
                }
                self.event(Event::Host(host));
            }
            Err(error) => tracing::warn!(event = "interfaces_unreadable", %error),
        }
        self.look_up_routes();
    }

    /// The kernel keeps the connections from an address that the host has lost, and a watch would notice after more than a minute.
    fn end_connections_from_lost_addresses(&mut self) {
        let assigned = match interfaces::assigned_addresses() {
            Ok(assigned) => assigned,
            Err(error) => return tracing::warn!(event = "interfaces_unreadable", %error),
        };
        let before = std::mem::replace(&mut self.assigned_addresses, assigned);
        let lost: BTreeSet<IpAddr> = before.difference(&self.assigned_addresses).copied().collect();
        if !lost.is_empty() {
            let ended = self.client.connections().end_from(&lost);
            tracing::info!(event = "addresses_lost", ?lost, api_connections_ended = ended);
        }
    }

    /// Asks the kernel by which devices the plan's outer packets leave.
    fn look_up_routes(&mut self) {
        let Some(plan) = self.core.plan() else { return };
        let found = stray_neighbours::find(plan).and_then(|strays| Ok((strays, endpoint_mtus::find(plan)?)));
        match found {
            Ok((found, mtus)) => {
                self.event(Event::StrayNeighbours(found.elsewhere));
                self.event(Event::InternetNeighbours(found.internet));
                self.event(Event::EndpointMtus(mtus));
            }
            Err(error) => tracing::warn!(event = "routes_unreadable", %error),
        }
    }
}
