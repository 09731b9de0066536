//! From a new plan to the kernel that holds it, and to what follows then.

use std::collections::BTreeSet;
use std::sync::Arc;

use carrick_backoff::Now;
use carrick_topology::NodePlan;
use carrick_topology::model::{PodNetwork, SecretReference};
use carrick_topology::plan::Scope;

use super::Core;
use crate::cause::Cause;
use crate::event::{ApplyOutcome, Effect, PodAddressing};
use crate::probing::Probing;

impl Core {
    pub(super) fn replan(&mut self) {
        match self.inputs.plan() {
            Ok(new) => self.take_plan(new),
            // What the kernel holds stays: a node that is missing from a list must not lose its mesh.
            Err(error) => self.plan_error = Some(error),
        }
    }

    fn take_plan(&mut self, new: NodePlan) {
        self.plan_error = None;
        self.inputs.set_outside_mesh(&new.outside_mesh);
        let old = self.plan.take();
        if old.as_ref().map(|old| &old.warnings) != Some(&new.warnings) {
            self.effects.push_back(Effect::Warn(Arc::new(new.warnings.clone())));
        }
        let preshared_keys: BTreeSet<SecretReference> =
            new.wireguard.peers.values().filter_map(|peer| peer.preshared_key.clone()).collect();
        if preshared_keys != self.preshared_keys {
            self.preshared_keys.clone_from(&preshared_keys);
            self.effects.push_back(Effect::ReadPresharedKeys(preshared_keys));
        }
        if old.is_none_or(|old| *old != new) {
            self.applies.want(Scope::Change, Cause::Plan);
        }
        self.plan = Some(Arc::new(new));
    }

    pub(super) fn apply_if_due(&mut self, now: Now) {
        let Some(plan) = &self.plan else { return };
        let Some((scope, cause)) = self.applies.begin(now, plan) else { return };
        self.effects.push_back(Effect::Apply { plan: Arc::clone(plan), scope, cause });
        if scope > Scope::WireGuard {
            self.restore_pod_routes();
        }
    }

    pub(super) fn take_apply_outcome(&mut self, now: Now, outcome: ApplyOutcome) {
        let Some(plan) = self.applies.finish(now, outcome, self.jitter.next()) else { return };
        match outcome {
            ApplyOutcome::Unchanged | ApplyOutcome::Changed => self.tell_of_pod_network(&plan),
            ApplyOutcome::Waiting => self.data_path.want_again(()),
            ApplyOutcome::Failed => {}
        }
        self.probe(&plan);
    }

    /// Probes follow a plan once the kernel was told of it, whether it holds all of it or not.
    ///
    /// The next plan is computed from what the probes of this plan find, so that its nodes are the ones to probe. A tunnel that could not
    /// be made does not answer, and traffic goes around it: that is what probes are for. Before the first attempt, every new tunnel would
    /// seem down. Other nodes probe this one too: whom it answers must not depend on a fault of its own.
    fn probe(&mut self, plan: &Arc<NodePlan>) {
        if self.probing.as_ref().is_some_and(|(followed, _)| Arc::ptr_eq(followed, plan)) {
            return;
        }
        let probing = Arc::new(Probing::new(plan));
        if self.probing.as_ref().is_none_or(|(_, before)| *before != probing) {
            self.effects.push_back(Effect::Probe(Arc::clone(&probing)));
        }
        self.probing = Some((Arc::clone(plan), probing));
    }

    /// A runtime that finds the plugin's configuration counts the node as ready for pods, so that it is written only of a plan that the
    /// kernel holds, and not without a pod CIDR.
    fn tell_of_pod_network(&mut self, plan: &NodePlan) {
        if self.inputs.settings().pod_network == PodNetwork::Carrick && !plan.pod_cidrs.is_empty() {
            self.pod_network =
                Some(PodAddressing { pod_cidrs: plan.pod_cidrs.clone(), mtu: plan.pod_mtu, fault: None });
        }
    }

    pub(super) fn restore_pod_routes(&mut self) {
        if self.inputs.settings().pod_network == PodNetwork::Carrick {
            self.effects.push_back(Effect::RestorePodRoutes);
        }
    }
}
