//! What an agent says of its node moves no packet of other nodes, of Peers and of networks of locations out of the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::model::{DnsName, Host, InternalAddresses, Node};
use carrick_topology::plan::NextHop;
use carrick_topology::{Endpoint, WarningReason};

use crate::fixtures::*;

fn overlaps(node: &str, field: &str, value: &str, what: &str) -> carrick_topology::Warning {
    warning(node_object(node), field, value, WarningReason::OverlapsCluster(what.to_owned()))
}

fn advertising(name: &str, endpoint: &str) -> Node {
    node(name).with(|node| node.advertised_endpoints = endpoints(&[endpoint]))
}

fn claiming(name: &str, addresses: &[&str]) -> Node {
    node(name).with(|node| node.internal_addresses = internal(addresses))
}

fn name_of(endpoint: &str) -> DnsName {
    match endpoint.parse::<Endpoint>().unwrap().host {
        Host::Name(name) => name,
        Host::Address(address) => panic!("{address} is no name"),
    }
}

fn office() -> carrick_topology::Peer {
    outside("office", 200, &["10.98.0.0/16", "172.30.0.7/32"]).with(|peer| peer.location = location("c"))
}

/// Three locations, a Peer, a network of location `c`; the cluster's pods are known.
fn world(attacker: Node) -> Mesh {
    let lan = node("c1").with(|node| node.allowed_location_cidrs = nets(&["172.20.0.0/24", "172.21.0.9/32"]));
    let mesh = mesh([node("a1"), node("a2"), attacker, node("b2"), lan]).peer(office());
    mesh.set(|settings| settings.cluster_cidrs = nets(&["10.42.0.0/16", "fd42::/48"]))
}

#[test]
fn an_advertised_endpoint_changes_no_route_of_others() {
    let honest = world(advertising("b1", "198.51.2.1"));
    for address in
        ["10.42.11.9", "10.42.99.9", "[fd42:0:0:11::9]", "10.98.3.4", "172.30.0.7", "172.20.0.9", "172.21.0.9"]
    {
        let forged = world(advertising("b1", "198.51.2.1").with(|node| {
            node.advertised_endpoints.extend(endpoints(&[address]));
        }));
        let alone = world(advertising("b1", address));
        for third in ["a1", "a2", "b2", "c1"] {
            let routes = honest.plan(third).routes;
            assert_eq!(forged.plan(third).routes, routes, "{address} on {third}");
            let alone = alone.plan(third);
            assert_eq!(alone.firewall.direct, honest.plan(third).firewall.direct, "{address} on {third}");
            for network in ["10.98.0.0/16", "172.30.0.7/32", "172.20.0.0/24", "172.21.0.9/32"] {
                assert!(next_hop(&alone, network).is_some() || third == "c1", "{network} on {third}: {address}");
            }
        }
    }
}

#[test]
fn an_advertised_endpoint_inside_pods_or_services_is_never_dialled() {
    for (address, owner) in [
        ("10.42.11.9:51820", "the pod CIDR 10.42.11.0/24 of node `a1`"),
        ("10.42.21.9:51820", "the pod CIDR 10.42.21.0/24 of node `b1`"),
        ("10.96.0.1:51820", "the Service CIDR 10.96.0.0/12"),
        ("10.4.99.9:51820", "the mesh CIDR 10.4.0.0/16"),
    ] {
        let mesh = world(advertising("b1", address).with(gateway(carrick_topology::model::Preference::Preferred)))
            .set(|settings| settings.service_cidrs = nets(&["10.96.0.0/12"]));
        let plan = mesh.plan("a1");
        assert!(plan.warnings.contains(&overlaps("b1", "advertised-endpoints", address, owner)), "{:?}", plan.warnings);
        assert!(plan.wireguard.peers.values().all(|peer| peer.endpoint != Some(address.parse().unwrap())));
    }
}

#[test]
fn a_name_that_an_agent_advertises_has_no_effect() {
    let named = advertising("b1", "gate.example:51820").with(gateway(carrick_topology::model::Preference::Preferred));
    let addresses: BTreeSet<IpAddr> = ["192.168.3.1", "10.42.11.9"].map(|text| text.parse().unwrap()).into();
    let resolved = BTreeMap::from([(name_of("gate.example:51820"), addresses)]);
    let mesh = world(named).set(|settings| settings.local.resolved = resolved);
    for third in ["a1", "a2", "b2"] {
        let plan = mesh.plan(third);
        assert!(next_hop(&plan, "192.168.3.1/32").is_some(), "{third} carries the address of c1");
        assert!(
            plan.firewall
                .direct
                .iter()
                .all(|net| !["192.168.3.1/32", "10.42.11.9/32"].contains(&net.to_string().as_str()))
        );
        assert!(tunnel(&plan, "b1").is_none_or(|peer| peer.endpoint.is_none()), "{third}");
    }
}

#[test]
fn addresses_of_a_name_that_people_set_take_nothing_from_other_nodes() {
    let named = node("b1").with(|node| node.endpoint = Some("gate.example:51820".parse().unwrap()));
    let addresses = ["192.168.3.1", "10.42.11.9", "10.42.99.9", "203.0.113.9"];
    let addresses: BTreeSet<IpAddr> = addresses.map(|text| text.parse().unwrap()).into();
    let resolved = BTreeMap::from([(name_of("gate.example:51820"), addresses)]);
    let wide = outside("exit", 201, &["203.0.113.0/24"]);
    let mesh = world(named.with(gateway(carrick_topology::model::Preference::Preferred)))
        .peer(wide)
        .set(|settings| settings.local.resolved = resolved);
    let plan = mesh.plan("a1");
    assert_eq!(next_hop(&plan, "192.168.3.1/32"), Some(&NextHop::WireGuard));
    for pod in ["10.42.11.9/32", "10.42.99.9/32"] {
        assert!(routes(&plan, pod).is_empty(), "{pod}");
    }
    assert_eq!(next_hop(&plan, "203.0.113.9/32"), Some(&NextHop::Throw), "any other address is one of the endpoint");
}

#[test]
fn a_network_of_a_peer_is_not_lost_to_the_address_of_one_agent() {
    let forged = world(claiming("b1", &["10.98.3.4/24", "fd99:0:0:2::1/64"]));
    for third in ["a1", "a2", "b2", "c1"] {
        let plan = forged.plan(third);
        assert!(next_hop(&plan, "10.98.0.0/16").is_some(), "{third}");
        assert!(routes(&plan, "10.98.3.4/32").is_empty(), "{third}");
        let what = "the network 10.98.0.0/16 of peer `office`";
        assert!(plan.warnings.contains(&overlaps("b1", "advertised-internal-addresses", "10.98.3.4/24", what)));
    }
}

#[test]
fn a_network_of_a_peer_yields_to_addresses_of_several_nodes_and_to_those_that_people_set() {
    let yields = |mesh: &Mesh| {
        let plan = mesh.plan("a1");
        let is_refused = |warning: &&carrick_topology::Warning| warning.object == peer_object("office");
        routes(&plan, "10.98.0.0/16").is_empty() && plan.warnings.iter().filter(is_refused).count() == 1
    };
    assert!(!yields(&world(claiming("b1", &["10.98.3.4/24"]))));
    let two = world(claiming("b1", &["10.98.3.4/24"]))
        .change("b2", |node| node.internal_addresses = internal(&["10.98.3.5/24"]));
    assert!(yields(&two));
    assert_eq!(next_hop(&two.plan("a1"), "10.98.3.4/32"), Some(&NextHop::WireGuard));
    let same = world(claiming("b1", &["10.98.3.4/24"]))
        .change("b2", |node| node.internal_addresses = internal(&["10.98.3.4/24"]));
    assert!(!yields(&same), "two claims of one address are the word of one node");
    let forced = node("b1").with(|node| node.internal_addresses = InternalAddresses::Forced(nets(&["10.98.3.4/24"])));
    assert!(yields(&world(forced)));
}

#[test]
fn an_address_that_people_declared_as_a_network_of_another_location_is_not_lost() {
    let plan = world(claiming("b1", &["172.21.0.9/24"])).plan("a1");
    assert_eq!(next_hop(&plan, "172.21.0.9/32"), Some(&NextHop::WireGuard));
    assert!(tunnel(&plan, "c1").unwrap().allowed_ips.contains(&net("172.21.0.9/32")));
    let what = "the allowed-location CIDR 172.21.0.9/32 of node `c1`";
    assert!(plan.warnings.contains(&overlaps("b1", "advertised-internal-addresses", "172.21.0.9/24", what)));
    // In its own location, a node may be the host that people declared before it joined.
    let joined = world(node("b1")).change("c1", |node| node.allowed_location_cidrs.clear()).change("b2", |node| {
        node.allowed_location_cidrs = nets(&["192.168.2.1/32"]);
    });
    assert!(joined.plan("a1").warnings.contains(&warning(
        node_object("b2"),
        "allowed-location-cidrs",
        "192.168.2.1/32",
        WarningReason::OverlapsCluster("an internal address of node `b1`".to_owned()),
    )));
}

#[test]
fn a_neighbour_takes_no_address_out_of_a_network_in_which_the_location_has_no_other() {
    for (claimed, network) in [("172.20.0.53/32", "172.20.0.0/24"), ("10.42.99.9/32", "10.42.0.0/16")] {
        let mesh = world(claiming("b1", &[claimed]));
        let plan = mesh.plan("b2");
        assert!(routes(&plan, claimed).is_empty() && !plan.firewall.direct.contains(&net(claimed)), "{claimed}");
        let what = format!("the network {network}, which contains no other internal address of its location");
        let address = claimed.trim_end_matches("/32");
        assert!(
            plan.warnings.contains(&overlaps("b1", "advertised-internal-addresses", address, &what)),
            "{:?}",
            plan.warnings
        );
    }
    // Two nodes of the location are inside: the network is wide, and they reach each other beside it.
    let wide = world(claiming("b1", &["172.20.0.53/32"]))
        .change("b2", |node| node.internal_addresses = internal(&["172.20.0.52/32"]));
    assert_eq!(next_hop(&wide.plan("b2"), "172.20.0.53/32"), Some(&NextHop::Throw));
    let forced =
        world(node("b1").with(|node| node.internal_addresses = InternalAddresses::Forced(nets(&["172.20.0.53/32"]))));
    assert_eq!(next_hop(&forced.plan("b2"), "172.20.0.53/32"), Some(&NextHop::Throw));
}

#[test]
fn an_internal_address_at_which_a_gateway_is_dialled_is_carried_if_it_concerns_others() {
    let private = |address: &str| {
        advertising("b1", address.split('/').next().unwrap())
            .with(gateway(carrick_topology::model::Preference::Preferred))
            .with(|node| node.internal_addresses = internal(&[address]))
    };
    let on_a1 = |mesh: &Mesh, destination: &str| next_hop(&mesh.plan("a1"), destination).cloned();
    assert_eq!(on_a1(&world(private("192.168.2.1/24")), "192.168.2.1/32"), None, "an interconnect");
    let contested =
        world(private("192.168.2.1/24")).change("b2", |node| node.internal_addresses = internal(&["192.168.2.1/24"]));
    assert_eq!(on_a1(&contested, "192.168.2.1/32"), Some(NextHop::WireGuard));
    assert_eq!(on_a1(&world(private("172.20.0.53/24")), "172.20.0.53/32"), Some(NextHop::WireGuard));
}
