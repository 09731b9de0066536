//! Internal addresses and allowed-location CIDRs of other locations that no node has any more. The mesh carried packets to them, so that none
//! may leave in clear instead.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::cluster_networks::non_members;
use crate::model::{Endpoint, InternalAddresses, LocationName, Node, Settings, host_net};
use crate::resolve::{Member, Resolved, order, refused_as_internal};

/// The networks that are closed on this node, except where its host reaches them otherwise.
///
/// They are those that nodes of other locations had until recently, and the internal addresses that the agents of nodes without a key found.
/// What another node, a location or a Peer has now is none of them.
pub(super) fn former_networks(resolved: &Resolved<'_>, me: &Member<'_>) -> BTreeSet<IpNet> {
    let own = resolved.location_of(me);
    let is_elsewhere = |location: &LocationName| own.alone || *location != own.name;
    let former = resolved.cluster.former_networks.iter();
    let former = former.filter(|(_, location)| is_elsewhere(location)).map(|(net, _)| net.trunc());
    let without_key = non_members(resolved).filter(|node| is_elsewhere(&node.location_name()));
    let found = without_key.flat_map(|node| found_by_agent(node, resolved.settings));
    former.chain(found).filter(|net| !is_in_use(resolved, net)).collect()
}

/// The internal addresses that the agent of a node found, as far as they would count. Other locations may reach an address without the mesh
/// where they are told to dial it.
fn found_by_agent(node: &Node, settings: &Settings) -> impl Iterator<Item = IpNet> {
    let InternalAddresses::Advertised(addresses) = &node.internal_addresses else {
        return None.into_iter().flatten();
    };
    let addresses = addresses.iter().map(IpNet::addr);
    let counts = move |address: &_| {
        let mut dialled = node.endpoint.iter().chain(&node.advertised_endpoints).filter_map(Endpoint::address);
        refused_as_internal(node, *address, settings).is_none() && !dialled.any(|dialled| dialled == *address)
    };
    Some(addresses.filter(counts).map(host_net)).into_iter().flatten()
}

/// Whether a network is inside one that a node, a location or a Peer has now, or inside one that the settings reserve.
fn is_in_use(resolved: &Resolved<'_>, net: &IpNet) -> bool {
    let settings = resolved.settings;
    let mut reserved = settings.mesh_cidrs.iter().chain(&settings.service_cidrs);
    // The networks of nodes are disjoint. Of them, only the last one that sorts before can contain the network.
    let behind = resolved.networks.partition_point(|network| order(&network.net) <= order(net));
    let before = behind.checked_sub(1).and_then(|last| resolved.networks.get(last));
    let of_locations = resolved.members.iter().flat_map(|member| &member.owned_cidrs);
    let served = resolved.outside_networks.values().flatten();
    let mut declared = of_locations.chain(served.chain(&resolved.unserved_networks).map(|(net, _)| net));
    reserved.any(|range| range.contains(net))
        || before.is_some_and(|network| network.net.contains(net))
        || declared.any(|declared| declared.contains(net))
}
