//! What the mesh is and should be: the cluster, and the plan of every node.
//!
//! The plan of a node is the one on its agent's page; where there is none, it is computed, as the agent would.

mod pages;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use carrick_topology::Liveness;
use carrick_topology::model::InternalAddresses;
use carrick_topology::plan::plan_all;
use carrick_topology::walk::Network;
use carrick_topology::{Cluster, Node, NodeName, NodePlan, Settings, plan};

use crate::failure::Failure;
use crate::snapshot::{Agent, Snapshot};

/// The cluster, and the plan of every node.
#[derive(Clone, Debug)]
pub struct ClusterPlan {
    /// The cluster that the plans are made from.
    pub cluster: Cluster,
    /// The plan of every node that takes part in the mesh.
    pub plans: BTreeMap<NodeName, NodePlan>,
    /// The nodes whose plan is computed, because their agents gave none.
    pub computed: BTreeSet<NodeName>,
    /// What cannot be known from what was at hand, in words.
    pub notes: Vec<String>,
    liveness: Liveness,
    shared: Settings,
    own: BTreeMap<NodeName, Arc<Settings>>,
}

impl ClusterPlan {
    /// Puts together what the agents and the objects say.
    ///
    /// # Errors
    /// There are neither pages nor objects.
    pub fn of(snapshot: &Snapshot) -> Result<Self, Failure> {
        let mut notes = Vec::new();
        let shared = settings::shared(snapshot, &mut notes);
        let cluster = match &snapshot.objects {
            Some(objects) => objects.cluster(&shared.topology_label),
            None => pages::cluster(snapshot, &mut notes),
        };
        if cluster.nodes.is_empty() {
            return Err(Failure::Unreachable(
                "nothing is known of any node: no agent answers, and there are no Nodes".to_owned(),
            ));
        }
        let own = snapshot.pages().filter_map(|(_, page)| Some((page.node.clone()?, page.settings.clone()?))).collect();
        let known = || snapshot.pages().map(|(_, page)| &page.liveness);
        let liveness = Liveness {
            down: known().flat_map(|liveness| liveness.down.iter().cloned()).collect(),
            // What is planned here is what holds when no handover is under way.
            ..Liveness::default()
        };
        let mut cluster_plan =
            Self { cluster, plans: BTreeMap::new(), computed: BTreeSet::new(), notes, liveness, shared, own };
        cluster_plan.plans = plan_all(&cluster_plan.cluster, &cluster_plan.shared, &cluster_plan.liveness);
        cluster_plan.computed = cluster_plan.plans.keys().cloned().collect();
        for plan in snapshot.agents.iter().filter_map(Agent::plan) {
            cluster_plan.computed.remove(&plan.node);
            cluster_plan.plans.insert(plan.node.clone(), plan.clone());
        }
        cluster_plan.note_computed(snapshot);
        Ok(cluster_plan)
    }

    fn note_computed(&mut self, snapshot: &Snapshot) {
        if self.computed.is_empty() || snapshot.pages().next().is_none() {
            return;
        }
        let names: Vec<_> = self.computed.iter().map(NodeName::as_str).collect();
        self.notes.push(format!("computed, because their agents gave no plan: {}", names.join(", ")));
    }

    /// The plans that the agents would come to of the cluster as it stands.
    #[must_use]
    pub fn planned(&self) -> BTreeMap<NodeName, NodePlan> {
        let mut plans = plan_all(&self.cluster, &self.shared, &self.liveness);
        for (name, settings) in &self.own {
            match plan(&self.cluster, settings, &self.liveness, name) {
                Ok(plan) => plans.insert(name.clone(), plan),
                Err(_) => plans.remove(name),
            };
        }
        plans
    }

    /// The same with another cluster; its plans are computed, all of them.
    #[must_use]
    pub fn with_cluster(&self, cluster: Cluster) -> Self {
        self.computed_again(Self { cluster, ..self.clone() })
    }

    /// The same, its plans computed, with a node that answers nobody.
    #[must_use]
    pub fn with_down(&self, node: &NodeName) -> Self {
        let mut changed = self.clone();
        changed.liveness.down.insert(node.clone());
        self.computed_again(changed)
    }

    fn computed_again(&self, mut changed: Self) -> Self {
        changed.plans = changed.planned();
        changed.computed = changed.plans.keys().cloned().collect();
        changed
    }

    /// The plans, ready for a packet.
    #[must_use]
    pub fn network(&self) -> Network<'_> {
        Network::new(&self.cluster, &self.shared, &self.liveness, &self.plans)
    }

    /// The node that has an internal address.
    #[must_use]
    pub fn node_at(&self, address: IpAddr) -> Option<&NodeName> {
        let has = |node: &&Node| match &node.internal_addresses {
            InternalAddresses::Advertised(nets) | InternalAddresses::Forced(nets) => {
                nets.iter().any(|net| net.addr() == address)
            }
            InternalAddresses::None => false,
        };
        self.cluster.nodes.values().find(has).map(|node| &node.name)
    }

    /// The label that names nodes' locations.
    #[must_use]
    pub fn topology_label(&self) -> &str {
        &self.shared.topology_label
    }

    /// A node by its name.
    ///
    /// # Errors
    /// There is none, or it takes no part in the mesh.
    pub fn plan_of(&self, node: &str) -> Result<&NodePlan, Failure> {
        let plan = self.plans.iter().find(|(name, _)| name.as_str() == node).map(|(_, plan)| plan);
        plan.ok_or_else(|| {
            let is_known = self.cluster.nodes.keys().any(|name| name.as_str() == node);
            Failure::Usage(if is_known {
                format!("node `{node}` takes no part in the mesh: its agent has published no public key")
            } else {
                let names: Vec<_> = self.cluster.nodes.keys().map(NodeName::as_str).take(10).collect();
                format!("there is no node `{node}`; there are {}", names.join(", "))
            })
        })
    }
}
