//! The cluster, and the plan of every node.
//!
//! The plan of a node is the one on its agent's page. If there is none, it is computed as the agent would compute it.

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
    /// The cluster that the plans are computed from.
    pub cluster: Cluster,
    /// The plan of every node in the mesh.
    pub plans: BTreeMap<NodeName, NodePlan>,
    /// The nodes whose plan is computed, because their agents gave no plan.
    pub computed: BTreeSet<NodeName>,
    /// What is not known, for people.
    pub notes: Vec<String>,
    liveness: Liveness,
    shared: Settings,
    own: BTreeMap<NodeName, Arc<Settings>>,
}

impl ClusterPlan {
    /// Combines the agents' pages and the objects.
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
            return Err(Failure::Unreachable("no node is known: no agent answers, and there are no Nodes".to_owned()));
        }
        let own = snapshot.pages().filter_map(|(_, page)| Some((page.node.clone()?, page.settings.clone()?))).collect();
        let known = || snapshot.pages().map(|(_, page)| &page.liveness);
        let liveness = Liveness {
            down: known().flat_map(|liveness| liveness.down.iter().cloned()).collect(),
            drained: known().flat_map(|liveness| liveness.drained.iter().cloned()).collect(),
            // The plans are those outside of a handover.
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
        self.notes.push(format!("computed, because the agents gave no plan: {}", names.join(", ")));
    }

    /// The values that the plans ignore, for people, each with the number of plans.
    #[must_use]
    pub fn warnings(&self) -> BTreeMap<String, usize> {
        let mut warnings = BTreeMap::new();
        for warning in self.plans.values().flat_map(|plan| &plan.warnings) {
            *warnings.entry(warning.to_string()).or_default() += 1;
        }
        warnings
    }

    /// The plans that the agents would compute for the cluster.
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

    /// The same flags and liveness with another cluster, whose Mesh is in force. All plans are computed.
    #[must_use]
    pub fn with_cluster(&self, cluster: Cluster) -> Self {
        let mut changed = self.clone();
        if cluster.mesh != self.cluster.mesh {
            let follow = |settings: &Settings| settings.clone().with_mesh(cluster.mesh.as_ref());
            changed.shared = follow(&changed.shared);
            changed.own.values_mut().for_each(|settings| *settings = Arc::new(follow(settings)));
        }
        self.recompute(Self { cluster, ..changed })
    }

    /// The same cluster with a node that is down. All plans are computed.
    #[must_use]
    pub fn with_down(&self, node: &NodeName) -> Self {
        let mut changed = self.clone();
        changed.liveness.down.insert(node.clone());
        self.recompute(changed)
    }

    fn recompute(&self, mut changed: Self) -> Self {
        changed.plans = changed.planned();
        changed.computed = changed.plans.keys().cloned().collect();
        changed
    }

    /// The network for the packet walk.
    #[must_use]
    pub fn network(&self) -> Network<'_> {
        Network::new(&self.cluster, &self.shared, &self.liveness, &self.plans)
    }

    /// The node with an internal address.
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

    /// Whether an address is in a network that the settings give to the mesh: a mesh CIDR, or a network of all pods.
    #[must_use]
    pub fn is_of_mesh(&self, address: IpAddr) -> bool {
        let mut nets = self.shared.mesh_cidrs.iter().chain(&self.shared.cluster_cidrs);
        nets.any(|net| net.contains(&address))
    }

    /// The label that contains nodes' locations if no Mesh gives another one.
    #[must_use]
    pub fn flag_label(&self) -> String {
        match self.cluster.mesh.as_ref().and_then(|mesh| mesh.shared.topology_label.as_ref()) {
            Some(_) => self.shared.clone().with_mesh(None).topology_label,
            None => self.shared.topology_label.clone(),
        }
    }

    /// The plan of a node.
    ///
    /// # Errors
    /// The node does not exist, or is not in the mesh.
    pub fn plan_of(&self, node: &str) -> Result<&NodePlan, Failure> {
        let known_plan = self.plans.iter().find(|(name, _)| name.as_str() == node).map(|(_, plan)| plan);
        known_plan.ok_or_else(|| {
            let names = || self.cluster.nodes.keys();
            let known = names().find(|name| name.as_str() == node);
            let why = known.and_then(|name| plan(&self.cluster, &self.shared, &self.liveness, name).err());
            Failure::Usage(why.map_or_else(
                || {
                    let names: Vec<_> = names().map(NodeName::as_str).take(10).collect();
                    format!("there is no node `{node}`; the nodes are: {}", names.join(", "))
                },
                |why| why.to_string(),
            ))
        })
    }
}
