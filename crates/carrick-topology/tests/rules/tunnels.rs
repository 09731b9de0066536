//! Endpoints, keepalives, and what is never routed.

use carrick_topology::WarningReason;
use carrick_topology::model::{DnsName, Granularity, Host, LocalFacts};
use carrick_topology::plan::NextHop;

use crate::fixtures::*;

#[test]
fn only_keepalive_without_any_public_address_means_behind_nat() {
    let natted = |change: fn(&mut carrick_topology::Node)| node("a1").with(change).is_behind_nat();
    assert!(natted(|n| (n.persistent_keepalive, n.advertised_endpoints) = (Some(25), endpoints(&["192.168.1.1"]))));
    assert!(natted(|n| (n.persistent_keepalive, n.advertised_endpoints) = (Some(25), endpoints(&["100.64.3.1"]))));
    assert!(natted(|n| (n.persistent_keepalive, n.advertised_endpoints) = (Some(25), endpoints(&["fd00::1"]))));
    assert!(!natted(|n| n.persistent_keepalive = Some(25)), "it has a public address");
    assert!(!natted(|n| (n.persistent_keepalive, n.advertised_endpoints) = (Some(0), endpoints(&["10.0.0.1"]))));
    assert!(!natted(|n| (n.persistent_keepalive, n.advertised_endpoints) = (None, endpoints(&["10.0.0.1"]))));
    assert!(natted(|n| (n.persistent_keepalive, n.advertised_endpoints) = (Some(25), endpoints(&["gate.example"]))));
    assert!(!natted(|n| {
        (n.persistent_keepalive, n.advertised_endpoints) = (Some(25), endpoints(&[]));
        n.endpoint = Some("10.0.0.1:7".parse().unwrap());
    }));
}

#[test]
fn a_forced_endpoint_precedes_those_of_the_agent() {
    let mesh = mesh([node("a1"), node("b1").with(|n| n.endpoint = Some("203.0.113.9:7".parse().unwrap()))]);
    assert_eq!(tunnel(&mesh.plan("a1"), "b1").unwrap().endpoint, Some("203.0.113.9:7".parse().unwrap()));
}

#[test]
fn ipv4_is_dialled_first_and_ipv6_where_a_node_has_nothing_else() {
    let v6_only = node("a1").with(|n| {
        n.internal_addresses = internal(&["fd99:0:0:1::1/64"]);
        n.advertised_endpoints = endpoints(&["2001:db8:1::1"]);
    });
    let mesh = mesh([v6_only, node("b1"), node("c1")]);
    assert_eq!(tunnel(&mesh.plan("c1"), "b1").unwrap().endpoint, Some("198.51.2.1:51820".parse().unwrap()));
    assert_eq!(tunnel(&mesh.plan("a1"), "b1").unwrap().endpoint, Some("[2001:db8:2::1]:51820".parse().unwrap()));
}

#[test]
fn a_public_address_leaves_private_ones_of_its_family_undialled() {
    let both = node("b1").with(|n| n.advertised_endpoints = endpoints(&["10.7.7.7", "198.51.2.1"]));
    assert_eq!(
        tunnel(&mesh([node("a1"), both]).plan("a1"), "b1").unwrap().endpoint,
        Some("198.51.2.1:51820".parse().unwrap())
    );
}

#[test]
fn a_domain_name_is_dialled_at_its_first_address_and_warned_of_until_it_has_one() {
    let named = node("b1").with(|n| n.endpoint = Some("gate.example:7".parse().unwrap()));
    let mesh = mesh([node("a1"), named]);
    let plan = mesh.plan("a1");
    let expected = warning(node_object("b1"), "endpoint", "gate.example:7", WarningReason::Unresolved);
    assert_eq!(plan.warnings, [expected].into());
    assert_eq!(tunnel(&plan, "b1").unwrap().endpoint, None);
    assert_eq!(next_hop(&plan, "10.42.21.0/24"), Some(&NextHop::WireGuard), "the peer stays, it may dial in");

    let addresses = ["203.0.113.9".parse().unwrap(), "203.0.113.8".parse().unwrap()].into();
    let plan = mesh.set(|settings| settings.local.resolved = [(dns_name(), addresses)].into()).plan("a1");
    assert_eq!(tunnel(&plan, "b1").unwrap().endpoint, Some("203.0.113.8:7".parse().unwrap()));
    assert!(plan.warnings.is_empty());
}

fn dns_name() -> DnsName {
    match "gate.example:7".parse::<carrick_topology::Endpoint>().unwrap().host {
        Host::Name(name) => name,
        Host::Address(address) => panic!("{address} is no name"),
    }
}

/// `a1`, which dials `b1` by its name. The name has these addresses.
fn dialling(a1: carrick_topology::Node, addresses: &[&str]) -> Mesh {
    let named = node("b1").with(|n| n.endpoint = Some("gate.example:7".parse().unwrap()));
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    mesh([a1, named]).set(|settings| settings.local.resolved = [(dns_name(), addresses)].into())
}

fn v4_only() -> carrick_topology::Node {
    node("a1").with(|n| {
        (n.internal_addresses, n.advertised_endpoints) = (internal(&["192.168.1.1/24"]), endpoints(&["198.51.1.1"]))
    })
}

fn v6_only() -> carrick_topology::Node {
    node("a1").with(|n| {
        (n.internal_addresses, n.advertised_endpoints) =
            (internal(&["fd99:0:0:1::1/64"]), endpoints(&["2001:db8:1::1"]));
    })
}

#[test]
fn of_the_addresses_of_a_name_those_count_in_whose_family_the_node_can_send() {
    let all = ["203.0.113.8", "203.0.113.9", "2001:db8:9::8", "2001:db8:9::9"];
    for (a1, usable) in [
        (v4_only(), vec!["203.0.113.8", "203.0.113.9"]),
        (v6_only(), vec!["2001:db8:9::8", "2001:db8:9::9"]),
        (node("a1"), all.to_vec()),
    ] {
        let plan = dialling(a1, &all).plan("a1");
        let peer = tunnel(&plan, "b1").unwrap();
        let named = peer.named.as_ref().unwrap();
        let usable: Vec<std::net::IpAddr> = usable.into_iter().map(|address| address.parse().unwrap()).collect();
        assert_eq!((&named.name, &named.addresses), (&dns_name(), &usable));
        assert_eq!(peer.endpoint.unwrap().ip(), usable[0]);
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    }
    let private = node("a1").with(|n| n.advertised_endpoints = endpoints(&["198.51.1.1"]));
    let plan = dialling(private, &all[1..3]).plan("a1");
    let named = tunnel(&plan, "b1").unwrap().named.clone().unwrap();
    let expected: Vec<std::net::IpAddr> = all[1..3].iter().map(|address| address.parse().unwrap()).collect();
    assert_eq!(named.addresses, expected, "a private IPv6 address may be translated: last");
    let one_of_two = dialling(v6_only(), &["203.0.113.8", "2001:db8:9::9"]).plan("a1");
    let peer = tunnel(&one_of_two, "b1").unwrap();
    assert_eq!((peer.endpoint, &peer.named), (Some("[2001:db8:9::9]:7".parse().unwrap()), &None), "no choice");
}

#[test]
fn a_name_without_an_address_that_the_node_can_dial_is_warned_of() {
    for (a1, addresses) in [(v6_only(), &["203.0.113.8"][..]), (v4_only(), &["2001:db8:9::9", "fd00::9"])] {
        let plan = dialling(a1, addresses).plan("a1");
        let expected = warning(node_object("b1"), "endpoint", "gate.example:7", WarningReason::NoUsableAddress);
        assert_eq!(plan.warnings, [expected].into());
        assert_eq!(tunnel(&plan, "b1").unwrap().endpoint, None);
    }
}

#[test]
fn the_address_of_a_name_that_answered_is_dialled_as_long_as_the_name_has_it() {
    let addresses = ["203.0.113.8", "203.0.113.9", "2001:db8:9::9"];
    let chosen = |chosen: &str| {
        let chosen = [(dns_name(), chosen.parse().unwrap())].into();
        let mesh = dialling(node("a1"), &addresses).set(|settings| settings.local.chosen_addresses = chosen);
        tunnel(&mesh.plan("a1"), "b1").unwrap().endpoint.unwrap().ip().to_string()
    };
    for address in addresses {
        assert_eq!(chosen(address), address);
    }
    assert_eq!(chosen("203.0.113.77"), "203.0.113.8", "the name has another address by now");
}

#[test]
fn in_full_nodes_of_one_location_dial_each_others_internal_address_at_the_port_they_listen_on() {
    let other = node("a2").with(|n| n.advertised_endpoints = endpoints(&["198.51.1.2:7777"]));
    let mesh = mesh([node("a1"), other, nat_node("a3")]).granularity(Granularity::Full);
    let plan = mesh.plan("a1");
    assert_eq!(tunnel(&plan, "a2").unwrap().endpoint, Some("192.168.1.2:7777".parse().unwrap()));
    assert_eq!(tunnel(&plan, "a3").unwrap().endpoint, Some("192.168.1.3:51820".parse().unwrap()));
}

#[test]
fn only_the_node_with_the_annotation_sends_keepalives() {
    let mesh = mesh([nat_node("a1"), node("b1"), node("c1").with(|n| n.persistent_keepalive = Some(0))]);
    assert_eq!(tunnel(&mesh.plan("a1"), "b1").unwrap().persistent_keepalive, Some(25));
    assert_eq!(tunnel(&mesh.plan("b1"), "a1").unwrap().persistent_keepalive, None);
    assert_eq!(tunnel(&mesh.plan("c1"), "a1").unwrap().persistent_keepalive, None);
}

#[test]
fn tunnels_of_a_standby_gateway_have_keepalives_at_both_ends() {
    let mesh = mesh([node("a1"), node("a2"), node("b1")]);
    assert_eq!(tunnel(&mesh.plan("a2"), "b1").unwrap().persistent_keepalive, Some(25));
    assert_eq!(tunnel(&mesh.plan("b1"), "a2").unwrap().persistent_keepalive, Some(25));
    assert_eq!(tunnel(&mesh.plan("b1"), "a1").unwrap().persistent_keepalive, None);
    let cross = mesh.granularity(Granularity::Cross);
    assert_eq!(tunnel(&cross.plan("b1"), "a2").unwrap().persistent_keepalive, None);
}

#[test]
fn each_granularity_has_its_tunnels() {
    let mesh = mesh([node("a1"), node("a2"), node("a3"), node("b1")]);
    let of = |granularity, name: &str| tunnels(&mesh.clone().granularity(granularity).plan(name));
    assert_eq!(of(Granularity::Location, "a1"), ["b1"]);
    assert_eq!(of(Granularity::Location, "a3"), Vec::<String>::new());
    assert_eq!(of(Granularity::Location, "b1"), ["a1", "a2"]);
    assert_eq!(of(Granularity::Cross, "a3"), ["b1"]);
    assert_eq!(of(Granularity::Cross, "b1"), ["a1", "a2", "a3"]);
    assert_eq!(of(Granularity::Full, "a3"), ["a1", "a2", "b1"]);
}

#[test]
fn an_internal_address_that_is_a_dialled_endpoint_is_never_routed() {
    let open = node("b1").with(|n| {
        n.advertised_endpoints = endpoints(&["192.168.2.1"]);
        n.gateway = carrick_topology::model::Preference::Preferred;
    });
    let mesh = mesh([node("a1"), open, node("b2"), node("b3")]);
    let plan = mesh.plan("a1");
    assert_eq!(routes(&plan, "192.168.2.1/32"), Vec::<&carrick_topology::plan::Route>::new());
    assert_eq!(next_hop(&plan, "192.168.2.3/32"), Some(&NextHop::WireGuard));
}

#[test]
fn the_endpoint_of_a_node_behind_a_gateway_is_no_exception() {
    let inner = node("b3").with(|n| n.advertised_endpoints = endpoints(&["192.168.2.3"]));
    let mesh = mesh([node("a1"), node("b1"), node("b2"), inner]);
    assert_eq!(next_hop(&mesh.plan("a1"), "192.168.2.3/32"), Some(&NextHop::WireGuard));
}

#[test]
fn the_api_server_is_never_routed() {
    let api = |settings: &mut carrick_topology::Settings| {
        settings.local = LocalFacts { api_servers: ["192.168.2.1".parse().unwrap()].into(), ..settings.local.clone() };
    };
    let plan = mesh([node("a1"), node("b1")]).set(api).plan("a1");
    assert!(routes(&plan, "192.168.2.1/32").is_empty());
    assert!(!plan.firewall.carried.contains(&net("192.168.2.1/32")));
}

#[test]
fn the_api_server_stays_outside_the_mesh_also_in_networks_of_the_cluster() {
    let api = |settings: &mut carrick_topology::Settings| {
        settings.local.api_servers = ["203.0.113.10".parse().unwrap()].into();
        settings.mesh_cidrs = [net("203.0.113.0/24"), net("fdca::/64")].into();
    };
    let in_mesh = mesh([node("a1"), node("b1")]).set(api).plan("a1");
    assert_eq!(next_hop(&in_mesh, "203.0.113.10/32"), Some(&NextHop::Throw));

    let api = |settings: &mut carrick_topology::Settings| {
        settings.local.api_servers = ["10.42.21.10".parse().unwrap()].into();
    };
    let pods = node("b1").with(|n| n.pod_cidrs.extend(nets(&["10.42.21.10/32"])));
    for node_with_pods in [node("b1"), pods] {
        let in_pods = mesh([node("a1"), node_with_pods]).set(api).plan("a1");
        assert_eq!(next_hop(&in_pods, "10.42.21.0/24"), Some(&NextHop::WireGuard));
        assert_eq!(next_hop(&in_pods, "10.42.21.10/32"), Some(&NextHop::Throw));
    }
}

#[test]
fn an_endpoint_that_is_a_pod_s_address_takes_no_packet_out_of_the_mesh() {
    let peer = outside("office", 200, &["172.20.9.0/24"])
        .with(|peer| peer.endpoint = Some("10.42.21.9:51820".parse().unwrap()));
    for cluster_cidrs in [&[][..], &["10.42.0.0/16"]] {
        let mesh = mesh([node("a1"), node("b1")])
            .peer(peer.clone())
            .set(|settings| settings.cluster_cidrs = nets(cluster_cidrs).into_iter().collect());
        let plan = mesh.plan("a1");
        assert_eq!(next_hop(&plan, "10.42.21.0/24"), Some(&NextHop::WireGuard));
        assert!(routes(&plan, "10.42.21.9/32").is_empty(), "{cluster_cidrs:?}");
    }
}

#[test]
fn internal_addresses_of_the_own_location_are_never_routed() {
    let mesh = mesh([node("a1"), node("a2"), node("b1")]);
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        let plan = mesh.clone().granularity(granularity).plan("a1");
        for own in ["192.168.1.1/32", "192.168.1.2/32", "fd99:0:0:1::2/128"] {
            assert!(routes(&plan, own).is_empty(), "{own}");
            assert!(plan.wireguard.peers.values().all(|peer| !peer.allowed_ips.contains(&net(own))), "{own}");
        }
        assert_eq!(next_hop(&plan, "192.168.2.1/32"), Some(&NextHop::WireGuard));
    }
}
