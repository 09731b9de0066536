//! The kind of network address translation in front of nodes, as far as the nodes that they dial can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use carrick_topology::plan::PeerIdentity;
use carrick_topology::{Family, NodeName};

use crate::finding::listed;
use crate::{Check, Finding, Observations, Pages};

type Seen<'a> = BTreeMap<(&'a NodeName, Family), BTreeMap<&'a NodeName, SocketAddr>>;

/// A node has one mapping for all destinations if several other nodes see the same address and port (RFC 4787 §4.1).
pub(super) fn kind(observations: &Observations) -> Vec<Finding> {
    let mut seen: Seen<'_> = BTreeMap::new();
    for (observer, pages) in observations.answered() {
        for (node, mapping) in dialling_in(pages) {
            seen.entry((node, Family::of(&mapping.ip()))).or_default().insert(observer, mapping);
        }
    }
    seen.into_iter().filter(|(_, mappings)| mappings.len() > 1).map(finding).collect()
}

/// The nodes that dial in, with the addresses and ports that they come from.
fn dialling_in(pages: &Pages) -> impl Iterator<Item = (&NodeName, SocketAddr)> {
    let device = pages.latest().and_then(|checks| checks.wireguard_device());
    let peers = pages.plan().into_iter().flat_map(|plan| &plan.wireguard.peers);
    peers.filter_map(move |(key, peer)| {
        let PeerIdentity::Node(node) = &peer.identity else { return None };
        let state = device?.peers.get(key)?;
        state.endpoint.filter(|_| peer.endpoint.is_none() && state.has_session()).map(|mapping| (node, mapping))
    })
}

fn finding(((node, family), mappings): ((&NodeName, Family), BTreeMap<&NodeName, SocketAddr>)) -> Finding {
    let distinct: BTreeSet<SocketAddr> = mappings.values().copied().collect();
    let finding = match distinct.len() {
        1 => Finding::ok(
            Check::NatKind,
            format!(
                "the node is behind NAT with one mapping for all destinations (endpoint-independent, {family}): {} see {}",
                listed(mappings.keys()),
                listed(&distinct)
            ),
        ),
        _ => Finding::warning(
            Check::NatKind,
            format!(
                "the node is behind NAT with a different mapping for each destination (address-dependent, {family}): other nodes see {}",
                listed(mappings.iter().map(|(observer, mapping)| format!("{mapping} by {observer}")))
            ),
            "nothing if a relay connects the node with other nodes behind NAT; otherwise forward a UDP port to the node and set \
             carrick.dev/endpoint to it",
        ),
    };
    finding.on(node)
}

#[cfg(test)]
mod tests {
    use crate::fixtures::diagnosed;

    #[test]
    fn a_mapping_is_endpoint_independent_or_address_dependent() {
        let seen_at = |mappings: [(&str, &str); 2]| {
            diagnosed(|mesh| {
                for (observer, mapping) in mappings {
                    mesh.dialled_in(observer, "c1");
                    mesh.peer(observer, "c1").endpoint = Some(mapping.parse().unwrap());
                }
            })
        };
        let one = seen_at([("a1", "203.0.113.9:4000"), ("b1", "203.0.113.9:4000")]);
        assert_eq!((one.problems(), one.warnings()), (vec![], vec![]));
        assert!(one.texts().contains("endpoint-independent, IPv4"), "{}", one.texts());
        let several = seen_at([("a1", "203.0.113.9:4000"), ("b1", "203.0.113.9:4001")]);
        assert_eq!((several.problems(), several.warnings()), (vec![], vec!["nat-kind c1".to_owned()]));
    }

    #[test]
    fn one_observer_says_nothing_about_the_mapping() {
        let found = diagnosed(|mesh| {
            mesh.dialled_in("a1", "c1");
            mesh.peer("a1", "c1").endpoint = Some("203.0.113.9:4000".parse().unwrap());
        });
        assert!(!found.texts().contains("behind NAT"));
    }
}
