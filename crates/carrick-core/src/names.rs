//! Which domain names the mesh needs resolved.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::model::DnsName;
use carrick_topology::plan::PeerIdentity;
use carrick_topology::{Cluster, Endpoint, Host, Node, NodePlan, Peer, PublicKey};

use crate::peers::{PeerObservation, Session, observed_peers};

/// The names among the endpoints of nodes and outside peers.
pub(crate) fn names_of(cluster: &Cluster) -> BTreeSet<DnsName> {
    let nodes = cluster.nodes.values().flat_map(of_node);
    nodes.chain(cluster.peers.values().flat_map(of_peer)).cloned().collect()
}

/// The names of peers whose session has expired: they may have moved to another address.
pub(crate) fn names_to_refresh(
    cluster: &Cluster,
    plan: &NodePlan,
    observations: &BTreeMap<PublicKey, PeerObservation>,
) -> BTreeSet<DnsName> {
    let expired = observed_peers(plan, observations).filter(|(_, seen)| seen.session == Session::Expired);
    let names = expired.flat_map(|(peer, _)| match &peer.identity {
        PeerIdentity::Node(name) => cluster.nodes.get(name).map(of_node).unwrap_or_default(),
        PeerIdentity::Outside(name) => cluster.peers.get(name).map(of_peer).unwrap_or_default(),
    });
    names.cloned().collect()
}

/// An agent advertises addresses only. Names in what it advertises are not resolved.
fn of_node(node: &Node) -> Vec<&DnsName> {
    node.endpoint.iter().filter_map(name).collect()
}

fn of_peer(peer: &Peer) -> Vec<&DnsName> {
    peer.endpoint.iter().filter_map(name).collect()
}

fn name(endpoint: &Endpoint) -> Option<&DnsName> {
    match &endpoint.host {
        Host::Name(name) => Some(name),
        Host::Address(_) => None,
    }
}
