//! Internal addresses and allowed-location CIDRs of nodes that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use carrick_topology::discovery::{Interface, InterfaceAddress, OwnNode};
use carrick_topology::model::InternalAddresses;
use carrick_topology::plan::NextHop;
use carrick_topology::{Cluster, Node};
use ipnet::IpNet;

use super::fixture::{Fixture, interfaces, own_node, published_cluster};
use crate::{DISK_PATIENCE, Effect, Event, FORMER_NETWORK_LIFETIME};

const MOMENT: Duration = Duration::from_millis(50);
const ADDRESS: &str = "192.168.2.1/32";
const NETWORK: &str = "172.20.0.0/16";

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn found(address: &str) -> InternalAddresses {
    InternalAddresses::Advertised([net(address)].into())
}

/// The published cluster, in which `b` has an internal address and a network.
fn world(names: &[&str]) -> Cluster {
    let mut cluster = published_cluster(names);
    if let Some(node) = cluster.nodes.get_mut("b") {
        node.internal_addresses = found("192.168.2.1/24");
        node.allowed_location_cidrs = [net(NETWORK)].into();
    }
    cluster
}

fn changed(change: impl FnOnce(&mut Node)) -> Cluster {
    let mut cluster = world(&["a", "b"]);
    change(cluster.nodes.get_mut("b").unwrap());
    cluster
}

/// The next hop to exactly this network.
fn next_hop(fixture: &Fixture, network: &str) -> Option<NextHop> {
    let routes = fixture.core.plan().into_iter().flat_map(|plan| &plan.routes);
    let to_network = routes.filter(|route| route.destination == net(network));
    to_network.min_by_key(|route| route.metric()).map(|route| route.next_hop.clone())
}

fn former(fixture: &Fixture) -> BTreeSet<IpNet> {
    fixture.core.cluster().former_networks.keys().copied().collect()
}

/// Gives this node an internal address.
fn give_internal_address(fixture: &mut Fixture) {
    let mut interfaces = interfaces();
    interfaces.push(Interface {
        name: "eth1".parse().unwrap(),
        addresses: vec![InterfaceAddress::primary(net("192.168.1.1/24"))],
        default_route: BTreeSet::new(),
        ..interfaces[0].clone()
    });
    let internal_ips = vec!["192.168.1.1".parse().unwrap()];
    fixture.event(Event::OwnNode(Box::new(OwnNode { internal_ips, ..own_node() })));
    fixture.event(Event::Host(interfaces.into()));
    fixture.wait(MOMENT);
}

#[test]
fn what_a_deleted_node_had_stays_closed_for_an_hour() {
    let mut fixture = Fixture::steady_with(&world(&["a", "b"]));
    for network in [ADDRESS, NETWORK] {
        assert_eq!(next_hop(&fixture, network), Some(NextHop::WireGuard), "{network}");
    }
    fixture.show(&world(&["a"]));
    let effects = fixture.effects_within(Duration::from_secs(10));
    let expected: BTreeMap<_, _> = [ADDRESS, NETWORK].map(|network| (net(network), "b".parse().unwrap())).into();
    let is_saved = |effect: &Effect| matches!(effect, Effect::Persist(saved) if saved.former_networks == expected);
    assert!(effects.iter().any(is_saved), "the state on disk does not have them");
    fixture.wait(FORMER_NETWORK_LIFETIME - Duration::from_secs(20));
    for network in [ADDRESS, NETWORK] {
        assert_eq!(next_hop(&fixture, network), Some(NextHop::Unreachable), "{network}");
    }
    fixture.wait(Duration::from_secs(20));
    for network in [ADDRESS, NETWORK] {
        assert_eq!(next_hop(&fixture, network), None, "{network}");
    }
    assert!(former(&fixture).is_empty());
}

#[test]
fn what_a_node_loses_by_a_change_stays_closed() {
    type Case = (&'static str, fn(&mut Node), &'static [&'static str]);
    let cases: [Case; 6] = [
        ("its key", |node| node.public_key = None, &[ADDRESS, NETWORK]),
        ("another address", |node| node.internal_addresses = found("192.168.2.7/24"), &[ADDRESS]),
        ("another subnet", |node| node.internal_addresses = found("192.168.2.1/25"), &[]),
        ("no address", |node| node.internal_addresses = InternalAddresses::None, &[ADDRESS]),
        ("another network", |node| node.allowed_location_cidrs = [net("172.21.0.0/16")].into(), &[NETWORK]),
        ("another location", |node| node.location = Some("c".parse().unwrap()), &[]),
    ];
    for (what, change, closed) in cases {
        let mut fixture = Fixture::steady_with(&world(&["a", "b"]));
        fixture.show(&changed(change));
        fixture.wait(MOMENT);
        for network in [ADDRESS, NETWORK] {
            let expected = if closed.contains(&network) { NextHop::Unreachable } else { NextHop::WireGuard };
            assert_eq!(next_hop(&fixture, network), Some(expected), "{what}: {network}");
        }
        assert_eq!(former(&fixture), closed.iter().map(|network| net(network)).collect(), "{what}");
    }
}

#[test]
fn what_a_node_without_a_key_loses_stays_closed_as_far_as_it_was() {
    let mut fixture = Fixture::steady_with(&changed(|node| {
        node.public_key = None;
        node.allowed_location_cidrs = [net(NETWORK)].into();
    }));
    assert_eq!(next_hop(&fixture, ADDRESS), Some(NextHop::Unreachable));
    fixture.show(&world(&["a"]));
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, ADDRESS), Some(NextHop::Unreachable));
    assert_eq!(former(&fixture), [net(ADDRESS)].into());
}

#[test]
fn what_the_mesh_did_not_carry_stays_open() {
    let refused = ["198.51.0.0/16", "10.4.0.0/16"];
    let mut fixture = Fixture::steady_with(&changed(|node| {
        node.internal_addresses = found("203.0.113.7/24");
        node.allowed_location_cidrs = refused.map(net).into();
    }));
    fixture.show(&world(&["a"]));
    fixture.wait(MOMENT);
    assert_eq!(former(&fixture), [net("10.4.0.0/16")].into(), "the mesh CIDR is closed anyway");
    assert!(
        refused.iter().chain(&["203.0.113.7/32"]).all(|network| {
            next_hop(&fixture, network) == (*network == "10.4.0.0/16").then_some(NextHop::Unreachable)
        })
    );
}

#[test]
fn an_address_that_another_node_gets_is_reached_at_once() {
    let mut with_c = world(&["a", "b", "c"]);
    let moved = |cluster: &mut Cluster| {
        cluster.nodes.remove("b");
        cluster.nodes.get_mut("c").unwrap().internal_addresses = found("192.168.2.1/24");
    };
    let mut fixture = Fixture::steady_with(&with_c);
    with_c.nodes.remove("b");
    fixture.show(&with_c);
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, ADDRESS), Some(NextHop::Unreachable));
    moved(&mut with_c);
    fixture.show(&with_c);
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, ADDRESS), Some(NextHop::WireGuard));
    fixture.wait(FORMER_NETWORK_LIFETIME - Duration::from_secs(1));
    fixture.show(&published_cluster(&["a"]));
    fixture.wait(FORMER_NETWORK_LIFETIME - Duration::from_secs(1));
    assert_eq!(next_hop(&fixture, ADDRESS), Some(NextHop::Unreachable), "its hour begins anew");
}

#[test]
fn what_a_node_of_the_own_location_had_stays_open() {
    let neighbour = |node: &mut Node| {
        node.location = Some("a".parse().unwrap());
        node.internal_addresses = found("192.168.1.2/24");
    };
    let mut fixture = Fixture::steady_with(&changed(neighbour));
    give_internal_address(&mut fixture);
    assert!(!fixture.core.plan().unwrap().location.alone);
    fixture.show(&world(&["a"]));
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, "192.168.1.2/32"), None);
    assert_eq!(next_hop(&fixture, NETWORK), None);
}

#[test]
fn an_address_that_a_node_of_the_own_location_had_last_stays_open() {
    let mut fixture = Fixture::steady_with(&world(&["a", "b", "c"]));
    give_internal_address(&mut fixture);
    let mut shown = world(&["a", "c"]);
    fixture.show(&shown);
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, ADDRESS), Some(NextHop::Unreachable));
    let neighbour = shown.nodes.get_mut("c").unwrap();
    neighbour.location = Some("a".parse().unwrap());
    neighbour.internal_addresses = found("192.168.2.1/24");
    fixture.show(&shown);
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, ADDRESS), None);
    fixture.show(&world(&["a"]));
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, ADDRESS), None);
}

#[test]
fn a_node_that_comes_into_another_location_closes_what_its_old_neighbours_lose() {
    let mut shown = changed(|node| {
        node.location = Some("a".parse().unwrap());
        node.internal_addresses = found("192.168.9.2/24");
    });
    let mut fixture = Fixture::steady_with(&shown);
    give_internal_address(&mut fixture);
    assert_eq!(next_hop(&fixture, "192.168.9.2/32"), None);
    shown.nodes.get_mut("a").unwrap().location = Some("x".parse().unwrap());
    fixture.show(&shown);
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, "192.168.9.2/32"), Some(NextHop::WireGuard));
    shown.nodes.remove("b");
    fixture.show(&shown);
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture, "192.168.9.2/32"), Some(NextHop::Unreachable));
}

#[test]
fn an_agent_that_restarts_keeps_them_for_another_hour() {
    let mut fixture = Fixture::steady_with(&world(&["a", "b"]));
    fixture.show(&world(&["a"]));
    let mut saved = Cluster::clone(fixture.core.cluster());
    saved.former_pod_cidrs.clear();
    let mut restarted = Fixture::new();
    restarted.event(Event::Restored(Arc::new(saved)));
    restarted.report_surroundings();
    restarted.wait(DISK_PATIENCE);
    restarted.show_first(&world(&["a"]));
    restarted.wait(FORMER_NETWORK_LIFETIME / 2);
    for network in [ADDRESS, NETWORK] {
        assert_eq!(next_hop(&restarted, network), Some(NextHop::Unreachable), "{network}");
    }
    restarted.wait(FORMER_NETWORK_LIFETIME);
    assert_eq!(next_hop(&restarted, ADDRESS), None);
    assert!(former(&restarted).is_empty());
}

#[test]
fn a_node_that_was_deleted_while_the_agent_did_not_run_is_no_exception() {
    let fixture = Fixture::steady_with(&world(&["a", "b"]));
    let mut restarted = Fixture::new();
    restarted.event(Event::Restored(Arc::clone(fixture.core.cluster())));
    restarted.show_first(&world(&["a"]));
    restarted.report_surroundings();
    restarted.wait(DISK_PATIENCE);
    for network in [ADDRESS, NETWORK] {
        assert_eq!(next_hop(&restarted, network), Some(NextHop::Unreachable), "{network}");
    }
}

#[test]
fn an_agent_closes_no_more_than_its_latest_addresses_and_opens_none_of_others() {
    let shown = |host: u32| {
        let mut cluster = world(&["a", "b"]);
        cluster.nodes.get_mut("b").unwrap().internal_addresses = found(&format!("192.168.3.{host}/24"));
        cluster
    };
    let mut fixture = Fixture::steady_with(&world(&["a", "b", "c"]));
    let mut with_c = world(&["a", "b", "c"]);
    with_c.nodes.get_mut("c").unwrap().internal_addresses = found("192.168.3.1/24");
    fixture.show(&with_c);
    fixture.wait(MOMENT);
    // From here on, node `c` is gone, and the agent of `b` claims its address and 19 other ones.
    for host in 1..=20 {
        fixture.show(&shown(host));
        fixture.wait(MOMENT);
    }
    let of_b = (12..20).map(|host| net(&format!("192.168.3.{host}/32")));
    let of_c = [net("192.168.3.1/32")];
    assert_eq!(former(&fixture), of_b.chain(of_c).collect());
    for closed in ["192.168.3.1/32", "192.168.3.19/32"] {
        assert_eq!(next_hop(&fixture, closed), Some(NextHop::Unreachable), "{closed}");
    }
    assert_eq!(next_hop(&fixture, "192.168.3.20/32"), Some(NextHop::WireGuard));
    fixture.wait(FORMER_NETWORK_LIFETIME);
    assert!(former(&fixture).is_empty());
}
