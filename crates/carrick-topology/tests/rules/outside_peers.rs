//! Outside peers: which node serves them, and what they may claim.

use carrick_topology::WarningReason;
use carrick_topology::model::{Granularity, SecretReference};
use carrick_topology::plan::NextHop;
use carrick_topology::walk::Outcome;

use crate::fixtures::*;

/// The nodes that have a WireGuard peer for the outside peer.
fn servers(mesh: &Mesh, peer: &str) -> Vec<String> {
    mesh.plans().into_iter().filter(|(_, plan)| outside_tunnel(plan, peer).is_some()).map(|(name, _)| name).collect()
}

fn small() -> Mesh {
    mesh([node("a1"), node("a2"), node("b1"), node("b2"), node("c1")])
}

#[test]
fn the_first_ranked_gateway_of_the_peers_location_serves_it_in_every_granularity() {
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        let laptop = outside("laptop", 200, &["172.30.0.1/32"]).with(|peer| peer.location = location("b"));
        assert_eq!(servers(&small().granularity(granularity).peer(laptop), "laptop"), ["b1"]);
    }
}

#[test]
fn a_peer_without_a_location_is_served_by_exactly_one_node() {
    let mut places = std::collections::BTreeSet::new();
    for name in ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"] {
        let servers = servers(&small().peer(outside(name, 200, &["172.30.0.1/32"])), name);
        assert_eq!(servers.len(), 1, "{servers:?}");
        places.extend(servers);
    }
    assert_eq!(places.into_iter().collect::<Vec<_>>(), ["a1", "b1", "c1"]);
}

#[test]
fn a_new_location_takes_peers_only_to_itself() {
    for name in ["p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9"] {
        let peer = outside(name, 200, &["172.30.0.1/32"]);
        let before = servers(&small().peer(peer.clone()), name);
        let mut larger = small().peer(peer);
        larger.cluster.insert_node(node("d1"));
        let after = servers(&larger, name);
        assert!(after == before || after == ["d1"], "{before:?} {after:?}");
    }
}

#[test]
fn a_gateway_without_a_public_endpoint_serves_only_peers_that_it_can_dial() {
    let mesh = mesh([nat_node("a1"), node("b1")]);
    let laptop = outside("laptop", 200, &["172.30.0.1/32"]).with(|peer| peer.location = location("a"));
    let office = laptop.clone().with(|peer| peer.endpoint = Some("203.0.113.5:51820".parse().unwrap()));
    let refused = mesh.clone().peer(laptop);
    assert_eq!(servers(&refused, "laptop"), Vec::<String>::new());
    let expected = warning(peer_object("laptop"), "location", "a", WarningReason::NoServingNode);
    assert!(refused.plan("b1").warnings.contains(&expected));
    assert_eq!(servers(&mesh.peer(office), "laptop"), ["a1"]);
}

#[test]
fn an_active_gateway_in_its_own_place_ranks_before_one_in_the_place_of_another_node() {
    let laptop = outside("laptop", 200, &["172.30.0.1/32"]).with(|peer| peer.location = location("a"));
    let mesh = mesh([node("a1"), node("a2"), node("a3")]).active_gateways(2).peer(laptop);
    assert_eq!(servers(&mesh.down(&["a1"]), "laptop"), ["a2"]);
}

#[test]
fn all_nodes_reach_the_peer_through_its_server() {
    let laptop = outside("laptop", 200, &["172.30.0.1/32"]).with(|peer| peer.location = location("b"));
    let mesh = small().peer(laptop);
    for (from, source) in [("a2", "10.42.12.9"), ("b1", "10.42.21.9"), ("b2", "10.42.22.9"), ("c1", "10.42.31.9")] {
        let walk = mesh.walk(from, source, "172.30.0.1");
        assert_eq!(walk.outcome, Outcome::Outside("laptop".parse().unwrap()), "{walk:?}");
        assert_eq!(walk.hops.last().unwrap().from.as_str(), "b1");
        assert_eq!(walk.source, Some(source.parse().unwrap()), "a pod keeps its address");
    }
}

#[test]
fn the_settings_of_a_peer_object_are_those_of_its_tunnel() {
    let secret = SecretReference { name: "keys".to_owned(), key: "office".to_owned() };
    let office = outside("office", 200, &["172.30.0.0/24", "fd30::/64"]).with(|peer| {
        peer.location = location("c");
        peer.endpoint = Some("203.0.113.5:7".parse().unwrap());
        peer.persistent_keepalive = Some(20);
        peer.preshared_key = Some(secret.clone());
    });
    let plan = small().peer(office.clone()).plan("c1");
    let entry = outside_tunnel(&plan, "office").unwrap();
    assert_eq!(entry.endpoint, Some("203.0.113.5:7".parse().unwrap()));
    assert_eq!(entry.persistent_keepalive, Some(20));
    assert_eq!(entry.preshared_key, Some(secret));
    assert_eq!(entry.allowed_ips, nets(&["172.30.0.0/24", "fd30::/64"]));
    let off = small().peer(office.with(|peer| peer.persistent_keepalive = Some(0))).plan("c1");
    assert_eq!(outside_tunnel(&off, "office").unwrap().persistent_keepalive, None);
}

#[test]
fn an_unresolved_endpoint_leaves_the_peer_to_dial_in_with_a_warning_on_its_server() {
    let office = outside("office", 200, &["172.30.0.0/24"]).with(|peer| {
        peer.location = location("c");
        peer.endpoint = Some("office.example:7".parse().unwrap());
    });
    let mesh = small().peer(office);
    let expected = warning(peer_object("office"), "endpoint", "office.example:7", WarningReason::Unresolved);
    let plan = mesh.plan("c1");
    assert_eq!(plan.warnings, [expected].into());
    assert_eq!(outside_tunnel(&plan, "office").unwrap().endpoint, None);
    assert!(mesh.plan("a1").warnings.is_empty());
}

#[test]
fn a_wide_network_of_a_peer_leaves_its_own_endpoint_outside_the_mesh() {
    let office = outside("office", 200, &["203.0.0.0/16"]).with(|peer| {
        peer.endpoint = Some("203.0.113.5:7".parse().unwrap());
    });
    for (name, plan) in small().peer(office).plans() {
        assert!(next_hop(&plan, "203.0.0.0/16").is_some_and(|hop| *hop != NextHop::Unreachable), "{name}");
        assert_eq!(next_hop(&plan, "203.0.113.5/32"), Some(&NextHop::Throw), "{name}");
        assert!(plan.firewall.direct.contains(&net("203.0.113.5/32")));
    }
}

#[test]
fn a_peer_that_claims_its_own_endpoint_alone_does_not_get_it_routed() {
    let office = outside("office", 200, &["203.0.113.5/32", "172.30.0.0/24"]).with(|peer| {
        peer.endpoint = Some("203.0.113.5:7".parse().unwrap());
    });
    for (name, plan) in small().peer(office).plans() {
        assert!(routes(&plan, "203.0.113.5/32").is_empty(), "{name}: {:?}", routes(&plan, "203.0.113.5/32"));
        assert!(!routes(&plan, "172.30.0.0/24").is_empty());
        let reason =
            WarningReason::OverlapsCluster("an endpoint, the API server or a cloud's metadata service".to_owned());
        assert!(plan.warnings.contains(&warning(peer_object("office"), "allowedIPs", "203.0.113.5/32", reason)));
    }
}

#[test]
fn a_network_of_a_peer_that_no_node_serves_is_closed() {
    let laptop = outside("laptop", 200, &["172.30.0.0/24"]).with(|peer| peer.location = location("a"));
    let served = mesh([node("a1"), node("b1")]).peer(laptop);
    // The agent of `a1` withdraws its endpoints.
    let unserved = served.change("a1", |node| node.advertised_endpoints.clear());
    for (name, plan) in unserved.plans() {
        assert_eq!(next_hop(&plan, "172.30.0.0/24"), Some(&NextHop::Unreachable), "{name}");
        assert!(plan.firewall.carried.contains(&net("172.30.0.0/24")), "the leak guard holds it too");
    }
}
