//! Where a packet ends, for people, and whether that is a fault.

use std::net::IpAddr;

use carrick_topology::walk::{Outcome, Walk};

use super::end::End;
use crate::cluster_plan::ClusterPlan;

/// The ends of a path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends<'a> {
    /// The sender.
    pub(super) from: &'a End,
    /// The receiver.
    pub(super) to: &'a End,
    /// The receiver's own address. The packet's destination differs if a node masquerades the receiver.
    pub(super) receiver: IpAddr,
}

/// Whether a packet leaves the mesh towards an address that is not in the mesh.
pub(super) fn leaves_mesh(cluster_plan: &ClusterPlan, walk: &Walk, ends: Ends<'_>) -> bool {
    let is_outside = ends.to.origin.is_none() && !cluster_plan.is_of_mesh(ends.receiver);
    matches!(walk.outcome, Outcome::Uplink(_)) && is_outside
}

/// Where a packet ends according to the plans.
pub(super) fn end_text(cluster_plan: &ClusterPlan, walk: &Walk, ends: Ends<'_>) -> String {
    match &walk.outcome {
        // The plans contain pod CIDRs, but no pods.
        Outcome::Pod(node) => match &ends.to.pod {
            Some(pod) => format!("reaches the pod {pod} on {node}"),
            None => format!("reaches {node}, which holds the pod CIDR of {}", ends.receiver),
        },
        Outcome::Host(node) => format!("reaches the node {node}"),
        Outcome::Outside(peer) => format!("reaches the outside peer {peer}"),
        Outcome::LocationNetwork(node) => format!("leaves the mesh at {node} into its location's network"),
        Outcome::Uplink(node) if leaves_mesh(cluster_plan, walk, ends) => {
            let is_masqueraded = walk.translations.iter().any(|translation| translation.node == *node);
            let masqueraded = if is_masqueraded { " (masqueraded)" } else { "" };
            format!("leaves the mesh by {node}'s own routes{masqueraded}")
        }
        Outcome::Uplink(node) => format!("leaves {node} by its uplink, outside the mesh"),
        Outcome::Dropped(node, _) => format!("ends at {node}"),
    }
}
