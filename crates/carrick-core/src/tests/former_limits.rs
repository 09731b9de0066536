//! How much the agent of one node can close on the other nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use carrick_topology::Cluster;
use carrick_topology::model::InternalAddresses;
use carrick_topology::plan::NextHop;
use ipnet::IpNet;
use proptest::prelude::*;

use super::fixture::{Fixture, published_cluster};
use crate::{DISK_PATIENCE, Event, FORMER_NETWORK_LIFETIME};

const MOMENT: Duration = Duration::from_millis(50);
/// Eight pod CIDRs of each family.
const MOST: usize = 16;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// Node `b` publishes these pod CIDRs.
fn publish(fixture: &mut Fixture, pod_cidrs: impl IntoIterator<Item = IpNet>) {
    let mut shown = published_cluster(&["a", "b"]);
    shown.nodes.get_mut("b").unwrap().pod_cidrs = pod_cidrs.into_iter().collect();
    fixture.show(&shown);
    fixture.wait(MOMENT);
}

/// An agent that starts from the state that this one has saved.
fn restart(fixture: &Fixture) -> Fixture {
    let shown = fixture.core.cluster();
    let mut restarted = Fixture::new();
    restarted.event(Event::Restored(Arc::clone(shown)));
    restarted.report_surroundings();
    restarted.wait(DISK_PATIENCE);
    restarted.show_first(shown);
    restarted.wait(MOMENT);
    restarted
}

/// The networks to which no packet goes, beside the mesh CIDRs.
fn closed(fixture: &Fixture) -> BTreeSet<IpNet> {
    let routes = &fixture.core.plan().unwrap().routes;
    let carried: BTreeSet<IpNet> =
        routes.iter().filter(|route| route.next_hop != NextHop::Unreachable).map(|route| route.destination).collect();
    let unreachable = routes.iter().map(|route| route.destination).filter(|destination| !carried.contains(destination));
    unreachable
        .filter(|destination| !net("10.4.0.0/16").contains(destination))
        .filter(|destination| *destination != net("fdca:7272:6963:6b00::/64"))
        .collect()
}

fn pods(number: u8) -> IpNet {
    net(&format!("10.42.{number}.0/24"))
}

#[test]
fn the_widest_and_earliest_pod_cidrs_of_a_node_stay_closed() {
    let mut fixture = Fixture::steady();
    for number in 100..120 {
        publish(&mut fixture, [pods(number)]);
    }
    let first: BTreeSet<IpNet> = [2].into_iter().chain(100..107).map(pods).collect();
    assert_eq!(closed(&fixture), first);
    fixture = restart(&fixture);
    for number in 120..140 {
        publish(&mut fixture, [pods(number)]);
    }
    assert_eq!(closed(&fixture), first, "a restart begins no new count");
    publish(&mut fixture, [net("10.43.0.0/23")]);
    publish(&mut fixture, []);
    let mut wider: BTreeSet<IpNet> = [2].into_iter().chain(100..106).map(pods).collect();
    wider.insert(net("10.43.0.0/23"));
    assert_eq!(closed(&fixture), wider);
    // The other family has places of its own.
    publish(&mut fixture, [net("fd42:0:0:7::/64")]);
    publish(&mut fixture, []);
    wider.insert(net("fd42:0:0:7::/64"));
    assert_eq!(closed(&fixture), wider);
}

#[test]
fn a_part_of_a_closed_pod_cidr_takes_no_place_and_a_wider_one_takes_the_place_of_its_parts() {
    let mut fixture = Fixture::steady();
    let parts = |range: std::ops::Range<u8>| range.map(|host| net(&format!("10.42.2.{host}/32")));
    publish(&mut fixture, parts(0..20));
    assert_eq!(closed(&fixture), [pods(2)].into());
    fixture.wait(FORMER_NETWORK_LIFETIME / 2);
    publish(&mut fixture, []);
    fixture.wait(FORMER_NETWORK_LIFETIME / 2);
    assert_eq!(closed(&fixture), [pods(2)].into(), "its parts were in use until half an hour ago");
    fixture.wait(FORMER_NETWORK_LIFETIME / 2);
    assert!(closed(&fixture).is_empty());
    publish(&mut fixture, parts(0..20));
    publish(&mut fixture, [pods(2)]);
    publish(&mut fixture, []);
    assert_eq!(closed(&fixture), [pods(2)].into());
    assert_eq!(fixture.core.cluster().former_pod_cidrs.values().flatten().count(), 1);
}

#[test]
fn what_another_node_had_stays_closed_whatever_a_node_publishes() {
    let mut fixture = Fixture::steady_with(&published_cluster(&["a", "b", "c"]));
    // Node `c` is gone, and node `b` claims its pods and many others.
    publish(&mut fixture, [pods(3)]);
    for number in 100..120 {
        publish(&mut fixture, [pods(number)]);
    }
    publish(&mut fixture, [net("10.42.0.0/22")]);
    publish(&mut fixture, []);
    assert!(closed(&fixture).contains(&pods(3)));
    fixture.wait(FORMER_NETWORK_LIFETIME);
    assert!(closed(&fixture).is_empty());
}

/// The agent of node `b` finds this internal address.
fn find(fixture: &mut Fixture, address: &str) {
    let mut shown = Cluster::clone(fixture.core.cluster());
    shown.nodes.get_mut("b").unwrap().internal_addresses = InternalAddresses::Advertised([net(address)].into());
    fixture.show(&shown);
    fixture.wait(MOMENT);
}

#[test]
fn a_restart_begins_no_new_count_of_the_addresses_that_an_agent_found() {
    // Node `c` had one address by its agent and one network by people, and is gone.
    let mut with_c = published_cluster(&["a", "b", "c"]);
    let gone = with_c.nodes.get_mut("c").unwrap();
    gone.internal_addresses = InternalAddresses::Advertised([net("192.168.4.1/24")].into());
    gone.allowed_location_cidrs = [net("172.20.0.1/32")].into();
    let mut fixture = Fixture::steady_with(&with_c);
    fixture.show(&published_cluster(&["a", "b"]));
    fixture.wait(MOMENT);
    let of_c = ["192.168.4.1/32", "172.20.0.1/32"].map(net);
    // The agent of node `b` finds the same ones, and many others.
    for address in ["192.168.4.1/24", "172.20.0.1/24"] {
        find(&mut fixture, address);
    }
    find(&mut fixture, "192.168.9.1/24");
    fixture = restart(&fixture);
    for subnet in 10..14 {
        for host in 1..=20 {
            find(&mut fixture, &format!("192.168.{subnet}.{host}/24"));
        }
        fixture = restart(&fixture);
        let latest = (12..20).map(|host| net(&format!("192.168.{subnet}.{host}/32")));
        let former: BTreeSet<IpNet> = fixture.core.cluster().former_networks.keys().copied().collect();
        let unknown: BTreeSet<IpNet> = former.iter().filter(|net| !of_c.contains(net)).copied().collect();
        assert_eq!(unknown, latest.collect(), "after {subnet}");
        assert!(of_c.iter().all(|net| former.contains(net)), "{former:?}");
    }
    fixture.wait(FORMER_NETWORK_LIFETIME);
    assert!(fixture.core.cluster().former_networks.is_empty());
    assert!(fixture.core.cluster().former_addresses_of_agents.is_empty());
}

#[test]
fn a_network_of_people_is_forgotten_an_hour_after_a_restart() {
    let network = net("172.20.0.0/16");
    let mut shown = published_cluster(&["a", "b"]);
    shown.nodes.get_mut("b").unwrap().allowed_location_cidrs = [network].into();
    let mut fixture = Fixture::steady_with(&shown);
    fixture.show(&published_cluster(&["a", "b"]));
    fixture.wait(MOMENT);
    fixture = restart(&fixture);
    fixture.wait(FORMER_NETWORK_LIFETIME / 2);
    assert_eq!(closed(&fixture), [network].into());
    fixture.wait(FORMER_NETWORK_LIFETIME / 2);
    assert!(closed(&fixture).is_empty() && fixture.core.cluster().former_networks.is_empty());
}

fn pod_cidr() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u16>(), 18_u8..=32).prop_map(|(low, length)| {
        IpNet::new(std::net::Ipv4Addr::from(0x0A2B_0000 | u32::from(low)).into(), length).unwrap().trunc()
    });
    let v6 = (any::<u16>(), 114_u8..=128).prop_map(|(low, length)| {
        IpNet::new(std::net::Ipv6Addr::from((0xFD42_u128 << 112) | u128::from(low)).into(), length).unwrap().trunc()
    });
    prop_oneof![v4, v6]
}

proptest! {
    #[test]
    fn one_node_closes_a_few_networks_whatever_its_agent_publishes(
        writes in prop::collection::vec((prop::collection::btree_set(pod_cidr(), 0..21), 0_u8..12), 1..40),
    ) {
        let mut fixture = Fixture::steady();
        for (pod_cidrs, chance) in writes {
            publish(&mut fixture, pod_cidrs);
            if chance == 0 {
                fixture = restart(&fixture);
            }
            let saved = fixture.core.cluster().former_pod_cidrs.values().flatten().count();
            prop_assert!(saved <= MOST && closed(&fixture).len() <= MOST, "{:?}", closed(&fixture));
        }
        publish(&mut fixture, []);
        fixture.wait(FORMER_NETWORK_LIFETIME);
        prop_assert_eq!(closed(&fixture), BTreeSet::new());
        prop_assert!(fixture.core.cluster().former_pod_cidrs.is_empty());
    }
}
