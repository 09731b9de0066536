//! What kind of network address translation nodes are behind, as far as those that they dial can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use carrick_topology::plan::PeerIdentity;
use carrick_topology::{Family, NodeName};

use crate::finding::listed;
use crate::{Check, Finding, Observations, Pages};

type Seen<'a> = BTreeMap<(&'a NodeName, Family), BTreeMap<&'a NodeName, SocketAddr>>;

/// A node that several others see come from one place has one mapping for all destinations (RFC 4787 §4.1).
pub(super) fn kind(observations: &Observations) -> Vec<Finding> {
    let mut seen: Seen<'_> = BTreeMap::new();
    for (observer, pages) in observations.answered() {
        for (node, place) in who_dial_in(pages) {
            seen.entry((node, Family::of(&place.ip()))).or_default().insert(observer, place);
        }
    }
    seen.into_iter().filter(|(_, places)| places.len() > 1).map(told).collect()
}

/// The nodes that dial in, with the places where they come from.
fn who_dial_in(pages: &Pages) -> impl Iterator<Item = (&NodeName, SocketAddr)> {
    let device = pages.latest().and_then(|checks| checks.wireguard_device());
    let peers = pages.plan().into_iter().flat_map(|plan| &plan.wireguard.peers);
    peers.filter_map(move |(key, peer)| {
        let PeerIdentity::Node(node) = &peer.identity else { return None };
        let state = device?.peers.get(key)?;
        state.endpoint.filter(|_| peer.endpoint.is_none() && state.has_session()).map(|place| (node, place))
    })
}

fn told(((node, family), places): ((&NodeName, Family), BTreeMap<&NodeName, SocketAddr>)) -> Finding {
    let distinct: BTreeSet<SocketAddr> = places.values().copied().collect();
    let finding = match distinct.len() {
        1 => Finding::ok(
            Check::NatKind,
            format!(
                "is behind NAT with one mapping for all destinations (endpoint-independent, {family}): {} see it at {}",
                listed(places.keys()),
                listed(&distinct)
            ),
        ),
        _ => Finding::warning(
            Check::NatKind,
            format!(
                "is behind NAT with another mapping for each destination (address-dependent, {family}): it is seen at {}",
                listed(places.iter().map(|(observer, place)| format!("{place} by {observer}")))
            ),
            "nothing if a relay is there for others behind NAT; else forward a UDP port to the node and name it in \
             carrick.dev/endpoint",
        ),
    };
    finding.on(node)
}

#[cfg(test)]
mod tests {
    use crate::fixtures::diagnosed;

    #[test]
    fn a_mapping_is_the_same_for_all_or_depends_on_the_destination() {
        let seen_at = |places: [(&str, &str); 2]| {
            diagnosed(|mesh| {
                for (observer, place) in places {
                    mesh.dialled_in(observer, "c1");
                    mesh.peer(observer, "c1").endpoint = Some(place.parse().unwrap());
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
    fn one_observer_cannot_tell() {
        let found = diagnosed(|mesh| {
            mesh.dialled_in("a1", "c1");
            mesh.peer("a1", "c1").endpoint = Some("203.0.113.9:4000".parse().unwrap());
        });
        assert!(!found.texts().contains("behind NAT"));
    }
}
