//! At which endpoints other locations dial a node.
//!
//! Nothing proves that an endpoint which an agent advertises is one of its node. So it decides where others dial the node, and no route.

use std::collections::BTreeSet;

use super::member::{ClusterClaims, Member, Owner, RangeOwner};
use crate::model::{Endpoint, Family, Node, host_net, is_public};
use crate::{Warning, WarningReason};

/// Gives each member the endpoints at which others may dial it.
pub(super) fn admit(members: &mut [Member<'_>], claims: &ClusterClaims<'_>, warnings: &mut BTreeSet<Warning>) {
    for member in members {
        member.endpoints = usable_endpoints(member.node);
        ignore_impossible_endpoints(member, claims, warnings);
    }
}

/// The endpoint that people set, else the addresses that the agent advertises. An agent advertises no names.
fn usable_endpoints(node: &Node) -> Vec<&Endpoint> {
    if let Some(forced) = &node.endpoint {
        return vec![forced];
    }
    if node.is_behind_nat() {
        return Vec::new();
    }
    // IPv4 sorts before IPv6. A node with a public address is not dialled at private ones of that family.
    let has_public = |family: Family| {
        node.advertised_endpoints
            .iter()
            .filter_map(Endpoint::address)
            .any(|address| Family::of(&address) == family && is_public(&address))
    };
    let is_usable = |endpoint: &&Endpoint| {
        endpoint.address().is_some_and(|address| is_public(&address) || !has_public(Family::of(&address)))
    };
    node.advertised_endpoints.iter().filter(is_usable).collect()
}

/// Ignores advertised endpoints at addresses that belong to others: pods, Services, and internal and mesh addresses of other nodes.
fn ignore_impossible_endpoints(member: &mut Member<'_>, claims: &ClusterClaims<'_>, warnings: &mut BTreeSet<Warning>) {
    if member.node.endpoint.is_some() {
        return;
    }
    let owner = member.owner();
    member.endpoints.retain(|endpoint| match reason_to_ignore(endpoint, owner, claims) {
        None => true,
        Some(reason) => {
            warnings.insert(Warning::new(owner.object(), "advertised-endpoints", endpoint, reason));
            false
        }
    });
}

fn reason_to_ignore(endpoint: &Endpoint, owner: Owner<'_>, claims: &ClusterClaims<'_>) -> Option<WarningReason> {
    let net = host_net(endpoint.address()?);
    if let Some(other) = claims.addresses.owner_of(&net).filter(|other| *other != owner) {
        return Some(WarningReason::OverlapsCluster(format!("an internal or mesh address of {}", other.object())));
    }
    claims.ranges.overlap(&net).map(RangeOwner::reason)
}
