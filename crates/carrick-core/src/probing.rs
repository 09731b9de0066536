//! What a node probes, and whom it answers.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::model::Node;
use carrick_topology::plan::{PathKind, ProbeFormat, ProbePeer, ProbePlan, Role};
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
    /// The nodes that it exchanges packets with, by each of their addresses.
    pub peers: BTreeMap<IpAddr, ProbePeer>,
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
            peers: peers(plan, cluster),
            listen: plan.mesh_addresses.iter().copied().chain(plan.vxlan.local).collect(),
        }
    }
}

/// The mesh addresses of all members, and what else the nodes of the own location have.
fn peers(plan: &NodePlan, cluster: &Cluster) -> BTreeMap<IpAddr, ProbePeer> {
    let mut owners: BTreeMap<IpAddr, &Node> = BTreeMap::new();
    for node in cluster.nodes.values().filter(|node| node.name != plan.node) {
        for address in &node.mesh_addresses {
            match owners.entry(*address) {
                Entry::Vacant(free) => {
                    free.insert(node);
                }
                // Of two claims of the same address, the one of the older node counts.
                Entry::Occupied(mut held) if node.age() < held.get().age() => {
                    held.insert(node);
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    let mut peers: BTreeMap<IpAddr, ProbePeer> =
        owners.into_iter().filter_map(|(address, node)| Some((address, peer(node, PathKind::Tunnel)?))).collect();
    for (name, neighbour) in &plan.vxlan.neighbours {
        let Some(peer) = cluster.nodes.get(name).and_then(|node| peer(node, PathKind::Inside)) else { continue };
        peers.extend(
            neighbour.mesh_addresses.iter().chain([&neighbour.internal_address]).map(|address| (*address, peer)),
        );
    }
    peers
}

fn peer(node: &Node, kind: PathKind) -> Option<ProbePeer> {
    Some(ProbePeer { kind, public_key: node.public_key?, format: ProbeFormat::of(node.agent.as_ref()) })
}
