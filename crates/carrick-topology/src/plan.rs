//! The plan: everything that the kernel of one node must hold.

mod build;
mod firewall;
mod mesh_ports;
mod node_plan;
mod probe;
mod route;
mod scope;
mod vxlan;
mod wireguard;

use thiserror::Error;

pub use firewall::{AllowedLocation, FirewallPlan, MeshDevices};
pub use mesh_ports::MeshPorts;
pub use node_plan::{LocationSummary, NodePlan, Role};
pub use probe::{Egress, PathKind, ProbeFormat, ProbeMember, ProbePeer, ProbePlan, ProbeTarget};
pub use route::{NextHop, Route};
pub use scope::Scope;
pub use vxlan::{VxlanNeighbour, VxlanPlan};
pub use wireguard::{NamedEndpoint, PeerIdentity, WireGuardPeer, WireGuardPlan};

use crate::Liveness;
use crate::model::{Cluster, NodeName, Settings};
use crate::resolve::{PUBLIC_KEY_FIELD, Resolved};
use crate::{ObjectName, Warning, WarningReason};
use build::PlannedHandovers;

/// Why there is no plan for a node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The cluster has no such node.
    #[error("there is no node `{0}` in the cluster")]
    UnknownNode(NodeName),
    /// The node has published no public key.
    #[error("node `{0}` is not a member of the mesh: its agent has not published a public key")]
    NoPublicKey(NodeName),
    /// The public key of the node does not count.
    #[error("node `{node}` is not a member of the mesh: its public key {reason}{}", advice(.reason))]
    PublicKeyIgnored {
        /// The node.
        node: NodeName,
        /// Why.
        reason: WarningReason,
    },
}

/// Computes what the kernel of node `me` must hold.
///
/// The same input gives the same plan, on every node and in whichever order the objects arrived.
///
/// # Errors
/// The node is not in the cluster, or is not a member of the mesh.
///
/// # Examples
///
/// ```
/// use carrick_topology::plan::PeerIdentity;
/// use carrick_topology::{Cluster, Liveness, Node, PublicKey, Settings, plan};
///
/// // One node in Basel and one in Paris, both with a public endpoint.
/// let mut cluster = Cluster::default();
/// for (number, name, location) in [(1, "b1", "basel"), (2, "p1", "paris")] {
///     let mut node = Node::new(name.parse()?, i64::from(number));
///     node.location = Some(location.parse()?);
///     node.public_key = Some(PublicKey::from_bytes([number; 32]));
///     node.pod_cidrs = [format!("10.42.{number}.0/24").parse()?].into();
///     node.mesh_addresses = [format!("10.4.0.{number}").parse()?].into();
///     node.endpoint = Some(format!("198.51.100.{number}:51820").parse()?);
///     cluster.insert_node(node);
/// }
///
/// let plan = plan(&cluster, &Settings::default(), &Liveness::default(), &"b1".parse()?)?;
///
/// let peer = &plan.wireguard.peers[&PublicKey::from_bytes([2; 32])];
/// assert_eq!(peer.identity, PeerIdentity::Node("p1".parse()?));
/// assert_eq!(peer.endpoint, Some("198.51.100.2:51820".parse()?));
/// assert!(peer.allowed_ips.contains(&"10.42.2.0/24".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plan(cluster: &Cluster, settings: &Settings, liveness: &Liveness, me: &NodeName) -> Result<NodePlan, PlanError> {
    let resolved = Resolved::new(cluster, settings, liveness);
    plan_resolved(&resolved, &PlannedHandovers::new(&resolved, liveness), me)
}

/// Computes the plans of all members of the mesh.
///
/// All of them get the same `settings`, local facts included.
#[must_use]
pub fn plan_all(
    cluster: &Cluster,
    settings: &Settings,
    liveness: &Liveness,
) -> std::collections::BTreeMap<NodeName, NodePlan> {
    let resolved = Resolved::new(cluster, settings, liveness);
    let handovers = PlannedHandovers::new(&resolved, liveness);
    let plan_of = |name: &NodeName| Some((name.clone(), plan_resolved(&resolved, &handovers, name).ok()?));
    cluster.nodes.keys().filter_map(plan_of).collect()
}

fn plan_resolved(resolved: &Resolved<'_>, handovers: &PlannedHandovers, me: &NodeName) -> Result<NodePlan, PlanError> {
    if !resolved.cluster.nodes.contains_key(me) {
        return Err(PlanError::UnknownNode(me.clone()));
    }
    let me = resolved.member(me).ok_or_else(|| no_member(resolved, me))?;
    Ok(build::build(resolved, handovers, me))
}

/// What to do about a public key that does not count, where the reason does not say so.
const fn advice(reason: &WarningReason) -> &'static str {
    match reason {
        WarningReason::AlreadyClaimed(ObjectName::Node(_)) => {
            ". If the machine was cloned with its state directory, empty the directory on one of the two"
        }
        _ => "",
    }
}

/// Why a node of the cluster is not a member of the mesh.
fn no_member(resolved: &Resolved<'_>, node: &NodeName) -> PlanError {
    let of_key = |warning: &&Warning| {
        warning.field == PUBLIC_KEY_FIELD && matches!(&warning.object, ObjectName::Node(name) if name == node)
    };
    match resolved.warnings.iter().find(of_key) {
        Some(warning) => PlanError::PublicKeyIgnored { node: node.clone(), reason: warning.reason.clone() },
        None => PlanError::NoPublicKey(node.clone()),
    }
}
