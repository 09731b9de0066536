//! What a node probes, and whom it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::plan::{PathKind, ProbePlan, Role};
use carrick_topology::{Cluster, LocationName, NodePlan};

/// What the prober does until it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probing {
    /// The location of this node.
    pub location: LocationName,
    /// Whether this node is a gateway, active or standby.
    pub is_gateway: bool,
    /// Whom it probes.
    pub targets: ProbePlan,
    /// The addresses whose probes it answers, and which way those probes come.
    pub answered: BTreeMap<IpAddr, PathKind>,
    /// Its own addresses on which it listens.
    pub listen: BTreeSet<IpAddr>,
}

impl Probing {
    /// What a plan says.
    pub(crate) fn new(plan: &NodePlan, cluster: &Cluster) -> Self {
        Self {
            location: plan.location.name.clone(),
            is_gateway: plan.location.role != Role::Inner,
            targets: plan.probes.clone(),
            answered: answered(plan, cluster),
            listen: plan.mesh_addresses.iter().copied().chain(plan.vxlan.local).collect(),
        }
    }
}

fn answered(plan: &NodePlan, cluster: &Cluster) -> BTreeMap<IpAddr, PathKind> {
    let tunnels = cluster.nodes.values().flat_map(|node| &node.mesh_addresses);
    let neighbours = plan.vxlan.neighbours.values();
    let inside = neighbours.flat_map(|other| other.mesh_addresses.iter().copied().chain([other.internal_address]));
    let mut answered: BTreeMap<IpAddr, PathKind> = tunnels.map(|address| (*address, PathKind::Tunnel)).collect();
    answered.extend(inside.map(|address| (address, PathKind::Inside)));
    answered
}
