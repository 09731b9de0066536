//! What a node probes, and whom it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::model::DeviceName;
use carrick_topology::plan::{PathKind, ProbeMember, ProbePeer, ProbePlan, Role};
use carrick_topology::{LocationName, NodePlan};

/// What the prober does until it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probing {
    /// The location of this node.
    pub location: LocationName,
    /// Whether this node is a gateway, active or standby.
    pub is_gateway: bool,
    /// Whom it probes. Without the plan's members: `peers` has them by address.
    pub targets: ProbePlan,
    /// The nodes that it exchanges packets with, by each of their addresses.
    pub peers: BTreeMap<IpAddr, ProbePeer>,
    /// Its WireGuard device.
    pub wireguard_device: DeviceName,
    /// Its own addresses on which it listens.
    pub listen: BTreeSet<IpAddr>,
}

impl Probing {
    /// What a plan says.
    pub(crate) fn new(plan: &NodePlan) -> Self {
        Self {
            location: plan.location.name.clone(),
            is_gateway: plan.location.role != Role::Inner,
            targets: ProbePlan {
                targets: plan.probes.targets.clone(),
                location_size: plan.probes.location_size,
                duty: plan.probes.duty,
                members: BTreeMap::new(),
            },
            peers: peers(plan),
            wireguard_device: plan.wireguard.device.clone(),
            listen: plan.mesh_addresses.iter().copied().chain(plan.vxlan.local).collect(),
        }
    }
}

/// The mesh addresses of all members, and what else the nodes of the own location have.
fn peers(plan: &NodePlan) -> BTreeMap<IpAddr, ProbePeer> {
    let members = &plan.probes.members;
    let of = |member: &ProbeMember, kind| ProbePeer { kind, public_key: member.public_key, format: member.format };
    let through_tunnels = members
        .values()
        .flat_map(|member| member.mesh_addresses.iter().map(move |address| (*address, of(member, PathKind::Tunnel))));
    let inside = plan.vxlan.neighbours.iter().filter_map(|(name, neighbour)| Some((members.get(name)?, neighbour)));
    let inside = inside.flat_map(|(member, neighbour)| {
        let addresses = member.mesh_addresses.iter().chain([&neighbour.internal_address]);
        addresses.map(move |address| (*address, of(member, PathKind::Inside)))
    });
    through_tunnels.chain(inside).collect()
}
