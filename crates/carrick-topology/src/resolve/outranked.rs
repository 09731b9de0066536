//! Internal addresses that agents found, inside networks that people gave to others.
//!
//! Nothing proves that such an address is one of the node. Without a rule, the agent of one node could take the network of a Peer away from
//! all nodes, or the single address that people declared as a network of another location.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::member::{ClusterClaims, Member};
use crate::model::{Cluster, InternalAddresses, LocationName, Settings};
use crate::{ObjectName, Warning, WarningReason};

/// Lets the addresses that agents found yield to networks that people gave to others:
///
/// - to the network of a Peer, if only one node has addresses inside it, and people set none of these. If several nodes have, the network is
///   a mistake, and the Peer yields (`super::outside`).
/// - to an allowed-location CIDR of another location that is this very address.
pub(super) fn yield_to_people(
    members: &mut [Member<'_>],
    cluster: &Cluster,
    settings: &Settings,
    claims: &mut ClusterClaims<'_>,
    warnings: &mut BTreeSet<Warning>,
) {
    for peer in cluster.peers.values() {
        for net in peer.allowed_ips.iter().map(IpNet::trunc) {
            let inside = members.iter().enumerate().filter(|(_, member)| has_address_inside(member, &net));
            let inside: Vec<usize> = inside.map(|(position, _)| position).collect();
            if let [single] = inside[..]
                && claims.ranges.overlap(&net).is_none()
            {
                let owner = ObjectName::Peer(peer.name.clone());
                let reason = WarningReason::OverlapsCluster(format!("the network {net} of {owner}"));
                yield_addresses(&mut members[single], &net, &reason, claims, warnings);
            }
        }
    }
    let declared: Vec<_> = members.iter().flat_map(|member| single_networks(member, settings)).collect();
    for (net, location, owner) in declared {
        for member in members.iter_mut().filter(|member| member.node.location_name() != location) {
            let reason = WarningReason::OverlapsCluster(format!("the allowed-location CIDR {net} of {owner}"));
            yield_addresses(member, &net, &reason, claims, warnings);
        }
    }
}

/// The allowed-location CIDRs of one address that count, with the location and the node.
fn single_networks(
    member: &Member<'_>,
    settings: &Settings,
) -> impl Iterator<Item = (IpNet, LocationName, ObjectName)> {
    let is_permitted = |net: &IpNet| settings.permitted_location_cidrs.iter().any(|permitted| permitted.contains(net));
    let single = member.node.allowed_location_cidrs.iter().filter(|net| net.prefix_len() == net.max_prefix_len());
    single.copied().filter(is_permitted).map(move |net| (net, member.node.location_name(), member.object()))
}

fn has_address_inside(member: &Member<'_>, net: &IpNet) -> bool {
    member.internal_addresses.iter().any(|address| net.contains(&address.addr()))
}

/// Takes the addresses inside the network away from the node, except those that people set.
fn yield_addresses(
    member: &mut Member<'_>,
    net: &IpNet,
    reason: &WarningReason,
    claims: &mut ClusterClaims<'_>,
    warnings: &mut BTreeSet<Warning>,
) {
    if !matches!(member.node.internal_addresses, InternalAddresses::Advertised(_)) {
        return;
    }
    let object = member.object();
    member.internal_addresses.retain(|address| {
        let is_kept = !net.contains(&address.addr());
        if !is_kept {
            claims.addresses.release(address.addr());
            warnings.insert(Warning::new(object.clone(), "advertised-internal-addresses", address, reason.clone()));
        }
        is_kept
    });
}
