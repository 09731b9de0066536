//! The networks of all pods of the cluster, of nodes that are gone, not yet published or unknown too. No packet to them leaves in clear.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::model::Node;
use crate::resolve::Resolved;

/// The networks that stay closed where no node is known that has the pods.
///
/// They are the cluster CIDRs of the settings. Without these, they are the pod CIDRs that nodes had until recently, and those of nodes that
/// are no members of the mesh.
pub(super) fn closed_networks(resolved: &Resolved<'_>) -> BTreeSet<IpNet> {
    let settings = resolved.settings;
    if !settings.cluster_cidrs.is_empty() {
        return settings.cluster_cidrs.iter().map(IpNet::trunc).collect();
    }
    let claimed = non_members(resolved).flat_map(|node| &node.pod_cidrs);
    let reserved: Vec<IpNet> = settings.mesh_cidrs.iter().chain(&settings.service_cidrs).map(IpNet::trunc).collect();
    let known: Vec<IpNet> = resolved.members.iter().flat_map(|member| member.pod_cidrs.iter().copied()).collect();
    let overlaps = |net: &IpNet, other: &IpNet| net.contains(other) || other.contains(net);
    resolved
        .cluster
        .former_pod_cidrs
        .values()
        .flatten()
        .chain(claimed)
        .map(IpNet::trunc)
        .filter(|net| !reserved.iter().any(|range| overlaps(range, net)))
        .filter(|net| !known.iter().any(|pods| pods.contains(net)))
        .collect()
}

/// The nodes that are no members of the mesh: without a key, or with the key of another node.
pub(super) fn non_members<'r>(resolved: &'r Resolved<'_>) -> impl Iterator<Item = &'r Node> {
    // Both are sorted by name.
    let mut members = resolved.members.iter().peekable();
    let nodes = resolved.cluster.nodes.values();
    nodes.filter(move |node| members.next_if(|member| member.node.name == node.name).is_none())
}
