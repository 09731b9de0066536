//! Which domain names the mesh needs resolved.

use std::collections::BTreeSet;

use carrick_topology::model::DnsName;
use carrick_topology::{Cluster, Endpoint, Host, Node, Peer};

/// The names among the endpoints of nodes and outside peers.
pub(super) fn wanted(cluster: &Cluster) -> BTreeSet<DnsName> {
    let nodes = cluster.nodes.values().flat_map(of_node);
    nodes.chain(cluster.peers.values().flat_map(of_peer)).cloned().collect()
}

/// The names among a node's endpoints.
pub(super) fn of_node(node: &Node) -> Vec<&DnsName> {
    node.endpoint.iter().chain(&node.advertised_endpoints).filter_map(name).collect()
}

/// The name of a peer's endpoint.
pub(super) fn of_peer(peer: &Peer) -> Vec<&DnsName> {
    peer.endpoint.iter().filter_map(name).collect()
}

fn name(endpoint: &Endpoint) -> Option<&DnsName> {
    match &endpoint.host {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    }
}
