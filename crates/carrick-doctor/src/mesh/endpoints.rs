//! Checks of the endpoints that nodes dial.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use carrick_topology::NodeName;
use carrick_topology::model::is_public;
use carrick_topology::plan::PeerIdentity;

use crate::finding::listed;
use crate::{Check, Finding, Observations, Pages};

/// Finds private endpoints that other locations dial, and endpoints in the node's own pod CIDR.
pub(super) fn endpoints(observations: &Observations) -> Vec<Finding> {
    let mut inside_pods: BTreeMap<(&NodeName, SocketAddr), BTreeSet<&NodeName>> = BTreeMap::new();
    let mut private = inside_pods.clone();
    for (node, pages) in observations.answered() {
        for (other, endpoint) in dialled(pages) {
            let there = observations.pages(other).and_then(Pages::plan);
            let own_pods = there.map(|plan| &plan.pod_cidrs);
            if own_pods.is_some_and(|cidrs| cidrs.iter().any(|cidr| cidr.contains(&endpoint.ip()))) {
                inside_pods.entry((other, endpoint)).or_default().insert(node);
            } else if !is_public(&endpoint.ip())
                && there.is_some_and(|there| Some(&there.location.name) != pages.plan().map(|plan| &plan.location.name))
                && !is_reached_there(pages, other, endpoint)
            {
                private.entry((other, endpoint)).or_default().insert(node);
            }
        }
    }
    let pods = inside_pods.into_iter().map(|((node, endpoint), from)| {
        Finding::problem(
            Check::EndpointInPodCidr,
            format!("the endpoint {endpoint} is in the node's own pod CIDR: no other node can dial it"),
            "set carrick.dev/endpoint to an address of the node itself",
        )
        .on(node)
        .towards(from)
    });
    let private = private.into_iter().map(|((node, endpoint), from)| {
        Finding::warning(
            Check::PrivateEndpoint,
            format!("{} in other locations dial the node at the private address {endpoint} and do not reach it there", listed(&from)),
            "set carrick.dev/endpoint to the node's public address, or carrick.dev/persistent-keepalive to 25s if the node is behind NAT",
        )
        .on(node)
        .towards(from)
    });
    pods.chain(private).collect()
}

/// The nodes that a node dials, with their endpoints.
fn dialled(pages: &Pages) -> impl Iterator<Item = (&NodeName, SocketAddr)> {
    let peers = pages.plan().into_iter().flat_map(|plan| plan.wireguard.peers.values());
    peers.filter_map(|peer| match &peer.identity {
        PeerIdentity::Node(node) => Some((node, peer.endpoint?)),
        PeerIdentity::Outside(_) => None,
    })
}

/// Whether the session with a node uses this endpoint. If so, the locations share a private network.
fn is_reached_there(pages: &Pages, node: &NodeName, endpoint: SocketAddr) -> bool {
    let state = pages.plan().and_then(|plan| {
        let (key, _) = super::tunnel::planned(plan, node)?;
        pages.latest()?.wireguard_device()?.peers.get(&key)
    });
    state.is_some_and(|state| state.endpoint == Some(endpoint) && state.has_session())
}

#[cfg(test)]
mod tests {
    use crate::fixtures::diagnosed;

    #[test]
    fn a_private_endpoint_is_a_warning_unless_the_session_uses_it() {
        let private = "10.20.0.2:51820".parse().unwrap();
        let elsewhere = diagnosed(|mesh| mesh.dial("a1", "b1", private));
        assert_eq!((elsewhere.problems(), elsewhere.warnings()), (vec![], vec!["private-endpoint b1".to_owned()]));
        let met = diagnosed(|mesh| {
            mesh.dial("a1", "b1", private);
            mesh.peer("a1", "b1").endpoint = Some(private);
        });
        assert_eq!(met.warnings(), [""; 0]);
    }

    #[test]
    fn an_endpoint_in_the_nodes_own_pod_cidr_is_a_problem() {
        let found = diagnosed(|mesh| mesh.dial("a1", "b1", "10.42.2.1:51820".parse().unwrap()));
        assert_eq!((found.problems(), found.warnings()), (vec!["endpoint-in-pod-cidr b1".to_owned()], vec![]));
    }
}
