use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::constants::DEFAULT_UPLINK_MTU;
use crate::discovery::{
    AddressRank, Attachment, DeviceMtus, Interface, InterfaceAddress, OwnNode, container_bridges, device_mtus,
    host_networks, own_facts, unattached_devices,
};
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
        attachment: if name == "lo" || name.starts_with("dummy") { Attachment::None } else { Attachment::Network },
        mtu: 1500,
        addresses: addresses.iter().map(|address| InterfaceAddress::primary(address.parse().unwrap())).collect(),
        on_link: BTreeSet::new(),
        default_route: default_route.iter().copied().collect(),
    }
}

/// The same interface with addresses of other ranks.
fn with_ranks(mut interface: Interface, ranks: &[(&str, AddressRank)]) -> Interface {
    for (text, rank) in ranks {
        let address: IpAddr = text.parse().unwrap();
        let own = interface.addresses.iter_mut().find(|own| own.net.addr() == address).unwrap();
        own.rank = *rank;
    }
    interface
}

const V4: &[Family] = &[Family::V4];
const V6: &[Family] = &[Family::V6];
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
fn of_several_addresses_the_primary_one_stands_for_the_host() {
    use AddressRank::{DefaultSource, Secondary};
    let eth0 = |addresses: &[&str]| interface("eth0", addresses, BOTH);
    for (case, eth0, endpoint) in [
        (
            "a virtual address in the same subnet",
            with_ranks(eth0(&["203.0.113.50/24", "203.0.113.10/24"]), &[("203.0.113.10", Secondary)]),
            "203.0.113.50:51820",
        ),
        (
            "the own address was added last, and the default route names it",
            with_ranks(eth0(&["203.0.113.10/24", "203.0.113.50/24"]), &[("203.0.113.50", DefaultSource)]),
            "203.0.113.50:51820",
        ),
        ("a lone address was added first", eth0(&["203.0.113.10/32", "203.0.113.50/24"]), "203.0.113.50:51820"),
        ("two subnets: the kernel's order", eth0(&["203.0.113.50/24", "198.51.100.10/24"]), "203.0.113.50:51820"),
        ("IPv6: the first one", eth0(&["2001:db8::50/64", "2001:db8::10/64"]), "[2001:db8::50]:51820"),
        (
            "IPv6: the source of the default route",
            with_ranks(eth0(&["2001:db8::10/64", "2001:db8::50/64"]), &[("2001:db8::50", DefaultSource)]),
            "[2001:db8::50]:51820",
        ),
    ] {
        assert_eq!(found(&own(&[], &[]), &[eth0], &[]).1, [endpoint], "{case}");
    }
}

#[test]
fn a_virtual_address_that_is_advertised_gives_way_to_the_primary_one() {
    let advertised = |node: &mut Node| {
        node.advertised_endpoints = ["203.0.113.10:51820".parse().unwrap()].into();
        node.internal_addresses = InternalAddresses::Advertised(["10.0.0.3/24".parse().unwrap()].into());
    };
    let eth0 = interface("eth0", &["203.0.113.50/24", "203.0.113.10/24", "10.0.0.7/24", "10.0.0.3/24"], V4);
    let ranks = [("203.0.113.10", AddressRank::Secondary), ("10.0.0.3", AddressRank::Secondary)];
    let facts = found(&own_as(advertised, &[], &[]), &[with_ranks(eth0, &ranks)], &[]);
    assert_eq!(facts, texts(&["10.0.0.7/24"], &["203.0.113.50:51820"]));
}

#[test]
fn a_routers_address_on_the_loopback_device_stands_for_the_host() {
    let uplinks = || ["eth0", "eth1"].map(|name| interface(name, &[&format!("172.31.{}.2/30", &name[3..])], V4));
    let source = AddressRank::DefaultSource;
    for (device, address) in [("lo", "10.10.1.5"), ("dummy0", "10.10.1.6"), ("lo", "203.0.113.5")] {
        let loopback = with_ranks(interface(device, &[&format!("{address}/32")], &[]), &[(address, source)]);
        let interfaces: Vec<_> = [loopback].into_iter().chain(uplinks()).collect();
        for internal in [&[][..], &[address]] {
            let facts = found(&own(internal, &[]), &interfaces, &[]);
            assert_eq!(facts.1, [format!("{address}:51820")], "{device} {internal:?}");
        }
    }
}

#[test]
fn an_address_on_a_device_that_leads_nowhere_is_in_no_subnet() {
    for (device, address) in [("dummy0", "10.10.1.5/24"), ("dummy-node", "fd10::5/64"), ("lo", "10.10.1.5/32")] {
        let net: ipnet::IpNet = address.parse().unwrap();
        let text = net.addr().to_string();
        let interfaces = [interface("eth0", &["172.31.0.2/30"], BOTH), interface(device, &[address], &[])];
        let expected = [ipnet::IpNet::from(net.addr()).to_string()];
        assert_eq!(found(&own(&[&text], &[]), &interfaces, &[]).0, expected, "{device} {address}");
        let settings = settings(&[]);
        let facts = own_facts(&own(&[&text], &[]), &interfaces, &settings);
        let unattached = unattached_devices(&interfaces, &facts.internal_devices);
        assert_eq!(unattached, [device.parse().unwrap()].into(), "{device}");
    }
    let bridge = [interface("br0", &["10.0.0.7/24"], V4), interface("dummy0", &["10.10.1.5/24"], &[])];
    assert_eq!(found(&own(&["10.0.0.7"], &[]), &bridge, &[]).0, ["10.0.0.7/24"]);
    let internal = BTreeMap::from([("10.0.0.7".parse().unwrap(), "br0".parse().unwrap())]);
    assert!(unattached_devices(&bridge, &internal).is_empty(), "dummy0 has no internal address");
}

#[test]
fn addresses_that_end_are_never_advertised() {
    use AddressRank::{Deprecated, Temporary};
    let renumbered = interface("eth0", &["2001:db8:1::7/64", "2001:db8:2::7/64"], V6);
    let ranks = [("2001:db8:1::7", Deprecated)];
    for (case, node) in [
        ("nothing is advertised", own(&[], &[])),
        ("the kubelet reports the old address", own(&["2001:db8:1::7"], &["2001:db8:1::7"])),
        (
            "the old address is advertised",
            own_as(|node| node.advertised_endpoints = ["[2001:db8:1::7]:51820".parse().unwrap()].into(), &[], &[]),
        ),
    ] {
        let facts = found(&node, &[with_ranks(renumbered.clone(), &ranks)], &[]);
        assert_eq!(facts, texts(&["2001:db8:2::7/64"], &["[2001:db8:2::7]:51820"]), "{case}");
    }
    let private = interface("eth0", &["2001:db8::a1b2/64", "2001:db8::7/64"], V6);
    let private = with_ranks(private, &[("2001:db8::a1b2", Temporary)]);
    assert_eq!(found(&own(&[], &[]), &[private], &[]).1, ["[2001:db8::7]:51820"]);
    let virtual_router = interface("eth0", &["203.0.113.10/24", "203.0.113.50/24"], V4);
    let virtual_router = with_ranks(virtual_router, &[("203.0.113.10", Deprecated)]);
    assert_eq!(found(&own(&[], &[]), &[virtual_router], &[]).1, ["203.0.113.50:51820"]);
}

#[test]
fn an_internal_ip_that_ends_is_replaced_in_its_own_family() {
    let eth0 = interface("eth0", &["10.0.0.7/24", "2001:db8:1::7/64", "2001:db8:2::7/64"], BOTH);
    let eth0 = with_ranks(eth0, &[("2001:db8:1::7", AddressRank::Deprecated)]);
    let facts = found(&own(&["10.0.0.7", "2001:db8:1::7"], &[]), std::slice::from_ref(&eth0), &[]);
    assert_eq!(facts.0, ["10.0.0.7/24", "2001:db8:2::7/64"]);
    let v4 = found(&own(&["10.0.0.7"], &[]), &[eth0], &[]);
    assert_eq!(v4.0, ["10.0.0.7/24"], "the Node has no IPv6 address");
}

/// Names of devices with their MTUs and the families whose default route leaves by them.
fn devices(list: &[(&str, u32, &[Family])]) -> Vec<Interface> {
    list.iter().map(|(name, mtu, default)| Interface { mtu: *mtu, ..interface(name, &[], default) }).collect()
}

#[test]
fn mtus_are_those_of_the_devices_that_carry_the_packets() {
    let mtus = |list: &[(&str, u32, &[Family])], internal: &[(&str, &str)]| {
        let internal = internal.iter().map(|(address, name)| (address.parse().unwrap(), name.parse().unwrap()));
        let DeviceMtus { uplink, internal } = device_mtus(&devices(list), &internal.collect());
        (uplink, internal.into_iter().collect::<Vec<_>>())
    };
    let hetzner = [("eth0", 1500, V4), ("enp7s0", 1450, &[][..])];
    assert_eq!(mtus(&hetzner, &[("10.0.0.7", "enp7s0")]), (1500, vec![(Family::V4, 1450)]));
    let jumbo = [("eth0", 1500, BOTH), ("eth1", 9000, &[][..])];
    let both = [("10.0.0.7", "eth1"), ("fd00::7", "eth0")];
    assert_eq!(mtus(&jumbo, &both), (1500, vec![(Family::V4, 9000), (Family::V6, 1500)]));
    let pppoe = [("ppp0", 1492, V4), ("eth1", 1500, V6)];
    assert_eq!(mtus(&pppoe, &[]), (1492, vec![]));
    assert_eq!(mtus(&[("eth0", 9000, &[])], &[("10.0.0.7", "eth0")]), (9000, vec![(Family::V4, 9000)]));
    assert_eq!(mtus(&[], &[]), (DEFAULT_UPLINK_MTU, vec![]));
}

#[test]
fn all_next_hops_count_for_mtus_and_the_loopback_device_never_does() {
    let internal = |device: &str| BTreeMap::from([("10.10.1.5".parse().unwrap(), device.parse().unwrap())]);
    for device in ["lo", "dummy0"] {
        let interfaces = devices(&[(device, 65536, &[]), ("eth0", 9000, V4), ("eth1", 1500, V4)]);
        let expected = DeviceMtus { uplink: 1500, internal: [(Family::V4, 1500)].into() };
        assert_eq!(device_mtus(&interfaces, &internal(device)), expected);
        let alone = DeviceMtus { uplink: DEFAULT_UPLINK_MTU, internal: BTreeMap::new() };
        assert_eq!(device_mtus(&interfaces[..1], &internal(device)), alone, "no uplink is known");
    }
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

#[test]
fn a_bridge_of_containers_is_one_unless_the_default_route_leaves_by_it() {
    let bridge = |name: &str, default_route: &[Family]| Interface {
        attachment: Attachment::Containers,
        default_route: default_route.iter().copied().collect(),
        ..interface(name, &["10.9.0.1/24"], &[])
    };
    let found = container_bridges(&[
        bridge("nerdctl0", &[]),
        bridge("vmbr1", &[]),
        bridge("vmbr2", &[Family::V4]),
        interface("vmbr0", &["10.8.0.1/24"], &[]),
    ]);
    assert_eq!(found, ["nerdctl0", "vmbr1"].map(|name| name.parse().unwrap()).into());
}
