//! What the state machine says of its state.

use std::collections::BTreeSet;
use std::sync::Arc;

use carrick_topology::{Cluster, Liveness, NodePlan, Settings};

use super::Core;
use crate::event::{ApiState, Readiness, Waiting};
use crate::fault::{Consequence, Fault};

impl Core {
    /// The plan, applied or not.
    #[must_use]
    pub const fn plan(&self) -> Option<&Arc<NodePlan>> {
        self.plan.as_ref()
    }

    /// Whether the kernel has held a plan since the agent started.
    #[must_use]
    pub const fn has_applied(&self) -> bool {
        self.applies.has_applied()
    }

    /// Whether changes arrive from the API.
    #[must_use]
    pub const fn api_state(&self) -> ApiState {
        self.api
    }

    /// The cluster as far as it is known.
    #[must_use]
    pub const fn cluster(&self) -> &Arc<Cluster> {
        self.inputs.cluster()
    }

    /// Which nodes answer probes, as far as is known.
    #[must_use]
    pub const fn liveness(&self) -> &Liveness {
        self.inputs.liveness()
    }

    /// The settings, with what the node knows of itself.
    #[must_use]
    pub const fn settings(&self) -> &Arc<Settings> {
        self.inputs.settings()
    }

    /// What the agent waits for.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        match (&self.plan_error, &self.plan) {
            (Some(_), _) => Waiting::ForNode,
            (None, Some(plan)) if plan.pod_cidrs.is_empty() => Waiting::ForPodCidr,
            (None, Some(_)) if !self.is_accepted => Waiting::ForPublication,
            (None, Some(_)) => Waiting::ForNothing,
            (None, None) => Waiting::ForCluster,
        }
    }

    /// All faults in force.
    #[must_use]
    pub fn faults(&self) -> BTreeSet<Fault> {
        &self.faults.all() | &self.own_faults()
    }

    /// Whether the node carries what the cluster expects of it. A node becomes ready when its kernel holds a plan and the API has accepted
    /// what other nodes need to reach it. Later only a fault of its own that stops packets of its pods makes it not ready.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let has_started = self.has_applied() && self.waiting() != Waiting::ForPublication;
        let is_blocked = self.faults().iter().any(|fault| fault.consequence() == Consequence::NoNewPods);
        if has_started && !is_blocked { Readiness::Ready } else { Readiness::NotReady }
    }

    /// Whether the API does not show what this node has to publish, as far as that is known.
    #[must_use]
    pub fn is_publication_missing(&self) -> bool {
        self.api == ApiState::Synced && self.inputs.missing_publication().is_some()
    }

    /// The faults that follow from what the agent waits for and from the state of the API.
    pub(super) fn own_faults(&self) -> BTreeSet<Fault> {
        let waiting = match self.waiting() {
            Waiting::ForCluster => Some(Fault::ClusterUnknown),
            Waiting::ForNode => Some(Fault::NodeMissing),
            Waiting::ForPublication => Some(Fault::NotAccepted),
            Waiting::ForPodCidr => Some(Fault::PodCidrMissing),
            Waiting::ForNothing => None,
        };
        let not_applied = (self.plan.is_some() && !self.has_applied()).then_some(Fault::NotApplied);
        let api_lost = (self.api == ApiState::Lost && self.waiting() != Waiting::ForCluster).then_some(Fault::ApiLost);
        let overwritten = self.publication.is_overwritten().then_some(Fault::AnnotationsOverwritten);
        [waiting, not_applied, api_lost, overwritten].into_iter().flatten().collect()
    }
}
