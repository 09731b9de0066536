use std::collections::{BTreeMap, BTreeSet};

use crate::constants::DEFAULT_UPLINK_MTU;
use crate::discovery::{Interface, OwnNode, host_networks, own_facts};
use crate::model::{Family, InternalAddresses, Node, Settings};

/// A node of which nothing is written by people.
fn own(internal: &[&str], external: &[&str]) -> OwnNode {
    own_as(|_| {}, internal, external)
}

fn own_as(annotate: impl FnOnce(&mut Node), internal: &[&str], external: &[&str]) -> OwnNode {
    let addresses = |list: &[&str]| list.iter().map(|address| address.parse().unwrap()).collect();
    let mut node = Node::new("a".parse().unwrap(), 0);
    annotate(&mut node);
    OwnNode {
        node,
        pod_cidrs: BTreeSet::from(["10.244.1.0/24".parse().unwrap()]),
        internal_ips: addresses(internal),
        external_ips: addresses(external),
    }
}

fn interface(name: &str, addresses: &[&str], default_route: &[Family]) -> Interface {
    Interface {
        name: name.parse().unwrap(),
        mtu: 1500,
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        on_link: BTreeSet::new(),
        default_route: default_route.iter().copied().collect(),
    }
}

const V4: &[Family] = &[Family::V4];
const BOTH: &[Family] = &Family::BOTH;

fn settings(internal_cidrs: &[&str]) -> Settings {
    let internal_cidrs = internal_cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    Settings { internal_cidrs, ..Settings::default() }
}

/// Internal addresses and endpoints, as text.
fn found(own: &OwnNode, interfaces: &[Interface], internal_cidrs: &[&str]) -> (Vec<String>, Vec<String>) {
    let facts = own_facts(own, interfaces, &settings(internal_cidrs));
    let internal = facts.advertised_internal_addresses.iter().map(ToString::to_string).collect();
    (internal, facts.advertised_endpoints.iter().map(ToString::to_string).collect())
}

fn texts<'t>(internal: &[&'t str], endpoints: &[&'t str]) -> (Vec<String>, Vec<String>) {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    (owned(internal), owned(endpoints))
}

#[test]
fn a_cloud_node_has_its_internal_ip_and_its_external_ip() {
    let eth0 = interface("eth0", &["10.0.0.7/24", "fd00::7/64", "fe80::1/64"], BOTH);
    let facts = found(&own(&["10.0.0.7"], &["198.51.100.7"]), &[eth0], &[]);
    assert_eq!(facts, texts(&["10.0.0.7/24"], &["198.51.100.7:51820"]));
}

#[test]
fn dual_stack_is_found_in_both_families() {
    let eth0 = interface("eth0", &["10.0.0.7/24", "2001:db8::7/64"], BOTH);
    let facts = found(&own(&["10.0.0.7", "2001:db8::7"], &[]), &[eth0], &[]);
    assert_eq!(facts, texts(&["10.0.0.7/24", "2001:db8::7/64"], &["10.0.0.7:51820", "[2001:db8::7]:51820"]));
}

#[test]
fn without_internal_ip_the_default_routes_interface_counts() {
    let interfaces =
        [interface("eth1", &["172.16.0.9/16"], &[]), interface("eth0", &["10.0.0.7/24", "fd00::7/64"], V4)];
    for internal in [&[][..], &["10.99.0.1"]] {
        let facts = found(&own(internal, &[]), &interfaces, &[]);
        assert_eq!(facts, texts(&["10.0.0.7/24"], &["10.0.0.7:51820"]), "{internal:?}");
    }
}

#[test]
fn an_internal_cidr_filters_and_chooses() {
    let interfaces = [
        interface("eth0", &["198.51.100.7/24"], V4),
        interface("eth1", &["10.8.0.9/16"], &[]),
        interface("docker0", &["10.9.0.1/16"], &[]),
    ];
    let node = own(&["198.51.100.7"], &[]);
    assert_eq!(found(&node, &interfaces, &[]), texts(&["198.51.100.7/24"], &["198.51.100.7:51820"]));
    assert_eq!(found(&node, &interfaces, &["10.0.0.0/8"]), texts(&["10.8.0.9/16"], &["198.51.100.7:51820"]));
    assert_eq!(found(&node, &interfaces, &["172.16.0.0/12"]), texts(&[], &["198.51.100.7:51820"]));
}

#[test]
fn behind_nat_there_is_no_endpoint_but_a_public_one() {
    let eth0 = interface("eth0", &["192.168.1.7/24", "100.64.0.9/10"], V4);
    let node = own_as(|node| node.persistent_keepalive = Some(25), &["192.168.1.7"], &[]);
    assert_eq!(found(&node, std::slice::from_ref(&eth0), &[]), texts(&["192.168.1.7/24"], &[]));
    let with_v6 = [eth0, interface("eth1", &["2001:db8::7/64"], &[Family::V6])];
    assert_eq!(found(&node, &with_v6, &[]).1, ["[2001:db8::7]:51820"]);
    let off = own_as(|node| node.persistent_keepalive = Some(0), &["192.168.1.7"], &[]);
    assert_eq!(found(&off, &with_v6[..1], &[]).1, ["192.168.1.7:51820"]);
}

#[test]
fn beside_a_forced_endpoint_nothing_is_advertised() {
    let eth0 = interface("eth0", &["198.51.100.7/24"], V4);
    let forced = |node: &mut Node| node.endpoint = Some("gate.example".parse().unwrap());
    let node = own_as(forced, &["198.51.100.7"], &["198.51.100.7"]);
    assert_eq!(found(&node, &[eth0], &[]), texts(&["198.51.100.7/24"], &[]));
}

#[test]
fn addresses_of_containers_services_and_the_mesh_are_not_the_nodes() {
    let interfaces = [
        interface("kube-ipvs0", &["203.0.113.80/32"], &[]),
        interface("docker0", &["2001:db8:dddd::1/64"], &[]),
        interface("carrick0", &["10.4.0.9/32"], &[]),
        interface("carrick-vx", &["203.0.113.81/32"], &[]),
        interface("eth0", &["10.244.1.1/24", "10.4.0.10/32", "10.0.0.7/24", "169.254.3.3/16"], V4),
    ];
    assert_eq!(found(&own(&[], &[]), &interfaces, &[]), texts(&["10.0.0.7/24"], &["10.0.0.7:51820"]));
}

#[test]
fn a_lone_address_and_a_new_one_come_last() {
    let eth0 = interface("eth0", &["198.51.100.1/32", "198.51.100.7/24", "198.51.100.8/24"], V4);
    assert_eq!(found(&own(&[], &[]), std::slice::from_ref(&eth0), &[]).1, ["198.51.100.7:51820"]);
    let advertised = |node: &mut Node| {
        node.advertised_endpoints = ["198.51.100.8:51820".parse().unwrap()].into();
        node.internal_addresses = InternalAddresses::Advertised(["198.51.100.8/24".parse().unwrap()].into());
    };
    assert_eq!(
        found(&own_as(advertised, &[], &[]), &[eth0], &[]),
        texts(&["198.51.100.8/24"], &["198.51.100.8:51820"])
    );
}

#[test]
fn forced_internal_addresses_are_in_force_but_not_advertised() {
    let interfaces = [interface("eth0", &["10.0.0.7/24"], V4), interface("eth1", &["10.1.0.7/24"], &[])];
    let forced = ["10.1.0.7/24", "10.2.0.7/24"].map(|address| address.parse().unwrap());
    let forced = |node: &mut Node| node.internal_addresses = InternalAddresses::Forced(forced.into());
    let node = own_as(forced, &["10.0.0.7"], &[]);
    let facts = own_facts(&node, &interfaces, &settings(&[]));
    assert_eq!(facts.internal_devices, BTreeMap::from([("10.1.0.7".parse().unwrap(), "eth1".parse().unwrap())]));
    assert_eq!(facts.absent_internal_addresses, BTreeSet::from(["10.2.0.7".parse().unwrap()]));
    assert_eq!(facts.advertised_endpoints, BTreeSet::from(["10.1.0.7:51820".parse().unwrap()]));
}

#[test]
fn a_node_that_stands_alone_can_still_be_dialled() {
    let node = own_as(|node| node.internal_addresses = InternalAddresses::None, &["10.0.0.7"], &[]);
    let facts = own_facts(&node, &[interface("eth0", &["10.0.0.7/24"], V4)], &settings(&[]));
    assert!(facts.internal_devices.is_empty() && facts.absent_internal_addresses.is_empty());
    assert_eq!(facts.advertised_endpoints, BTreeSet::from(["10.0.0.7:51820".parse().unwrap()]));
}

#[test]
fn the_uplinks_mtu_is_the_default_routes() {
    let mut eth0 = interface("eth0", &["10.0.0.7/24"], &[]);
    eth0.mtu = 9000;
    let node = own(&["10.0.0.7"], &[]);
    assert_eq!(own_facts(&node, std::slice::from_ref(&eth0), &settings(&[])).uplink_mtu, 9000);
    let mut ppp0 = interface("ppp0", &["198.51.100.7/32"], V4);
    ppp0.mtu = 1492;
    assert_eq!(own_facts(&node, &[eth0, ppp0], &settings(&[])).uplink_mtu, 1492);
    assert_eq!(own_facts(&node, &[], &settings(&[])).uplink_mtu, DEFAULT_UPLINK_MTU);
}

#[test]
fn the_networks_of_the_host_are_those_of_all_interfaces_but_carricks_and_pods() {
    let mut tun0 = interface("tun0", &["10.8.0.2/32"], &[]);
    tun0.on_link = ["10.8.0.0/24".parse().unwrap()].into();
    let interfaces = [
        interface("lo", &["127.0.0.1/8", "::1/128"], &[]),
        interface("eth0", &["10.0.0.7/24", "fd00::7/64", "fe80::7/64", "198.51.100.7/32"], V4),
        interface("docker0", &["172.17.0.1/16"], &[]),
        tun0,
        interface("mesh7", &["10.4.0.7/16"], &[]),
        interface("carrick-vx", &["10.5.0.7/16"], &[]),
        interface("crk0123", &["10.244.1.1/24"], &[]),
    ];
    let settings = Settings { interface: "mesh7".parse().unwrap(), ..settings(&[]) };
    let networks = host_networks(&interfaces, &settings);
    let found: Vec<_> = networks.iter().map(|(network, device)| format!("{network} {device}")).collect();
    assert_eq!(found, ["10.0.0.0/24 eth0", "10.8.0.0/24 tun0", "172.17.0.0/16 docker0", "fd00::/64 eth0"]);
}
