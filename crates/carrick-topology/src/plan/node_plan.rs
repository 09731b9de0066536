//! The plan of one node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Warning;
use crate::handover::HandoverPlan;
use crate::model::{Family, LocationName, NodeName};
use crate::plan::{FirewallPlan, ProbePlan, Route, VxlanPlan, WireGuardPlan};

/// Everything that one node's kernel must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlan {
    /// The node that the plan is for.
    pub node: NodeName,
    /// The node's location and role in the mesh, for status pages.
    pub location: LocationSummary,
    /// The node's mesh addresses. Both devices have them, as /32 and /128.
    pub mesh_addresses: BTreeSet<IpAddr>,
    /// The node's pod CIDRs.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// The MTU of the devices of pods in bytes: that of the narrowest path of a packet.
    pub pod_mtu: u32,
    /// The WireGuard device.
    pub wireguard: WireGuardPlan,
    /// The VXLAN device.
    pub vxlan: VxlanPlan,
    /// What goes encapsulated during a handover; `None` if none is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handover: Option<HandoverPlan>,
    /// The routes in Carrick's own table, sorted. No two have the same destination and metric.
    pub routes: Vec<Route>,
    /// Routes in [`LOCATION_TABLE`](crate::constants::LOCATION_TABLE), sorted: packets out of tunnels go to other nodes of the location in
    /// VXLAN, so that they can keep a source that the location's network does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub location_routes: Vec<Route>,
    /// The families that need a rule to Carrick's table.
    pub rules: BTreeSet<Family>,
    /// The nftables table.
    pub firewall: FirewallPlan,
    /// Which nodes are probed.
    #[serde(default)]
    pub probes: ProbePlan,
    /// Networks with internal addresses of other locations that this node reaches outside the mesh, for
    /// [`AgentVersion::outside_mesh`](crate::model::AgentVersion::outside_mesh).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub outside_mesh: BTreeSet<IpNet>,
    /// What was ignored, and why.
    pub warnings: BTreeSet<Warning>,
}

/// The role of a node in its location.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The node carries traffic of its location.
    Active,
    /// The node carries it if an active gateway fails.
    Standby,
    /// The node reaches other locations through a gateway.
    Inner,
}

/// A node's location and role in the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocationSummary {
    /// The location's name.
    pub name: LocationName,
    /// Whether the node is alone in the location, because it has no internal address of the location's family.
    pub alone: bool,
    /// The node's role.
    pub role: Role,
    /// The gateway that the node is assigned to; `None` in an isolated location.
    pub gateway: Option<NodeName>,
    /// The active gateways of the location.
    pub active: BTreeSet<NodeName>,
    /// The standby gateways of the location.
    pub standby: BTreeSet<NodeName>,
    /// The nodes of the location that would be gateways if they were not down, except for those that drain.
    #[serde(default)]
    pub down: BTreeSet<NodeName>,
    /// The nodes of the location that would be gateways if they did not drain.
    #[serde(default)]
    pub drained: BTreeSet<NodeName>,
}
