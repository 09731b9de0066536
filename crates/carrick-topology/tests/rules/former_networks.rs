//! Internal addresses and allowed-location CIDRs of other locations that no node has any more: no packet to them leaves in clear.

use carrick_topology::model::{Granularity, Host, InternalAddresses, Preference};
use carrick_topology::plan::{NextHop, plan_all};
use carrick_topology::walk::{DropReason, Network, Origin, Outcome, Packet};
use carrick_topology::{Endpoint, LocationName, Node};

use crate::fixtures::*;

/// Networks with the locations that had them.
fn former(list: &'static [(&'static str, &'static str)]) -> impl FnOnce(&mut Mesh) {
    move |mesh| {
        let networks = list.iter().map(|(network, location)| (net(network), location.parse::<LocationName>().unwrap()));
        mesh.cluster.former_networks = networks.collect();
    }
}

/// Whether no packet of a node to this very network leaves in clear or arrives.
fn is_closed(mesh: &Mesh, name: &str, network: &str) -> bool {
    let plan = mesh.plan(name);
    let carried = plan.firewall.carried.contains(&net(network));
    let device_may_carry = plan.firewall.carried_by.values().any(|nets| nets.contains(&net(network)));
    let route = next_hop(&plan, network) == Some(&NextHop::Unreachable);
    assert_eq!(route, carried && !device_may_carry, "routes and leak guard of {name} differ for {network}");
    route
}

fn outcome_of_host(mesh: &Mesh, name: &str, destination: &str) -> Outcome {
    let plans = plan_all(&mesh.cluster, &mesh.settings, &mesh.liveness);
    let network = Network::new(&mesh.cluster, &mesh.settings, &mesh.liveness, &plans);
    let packet = Packet { source: None, destination: destination.parse().unwrap() };
    network.walk(&Origin::Host(name.parse().unwrap()), packet).outcome
}

fn without_key(name: &str) -> Node {
    node(name).with(|node| node.public_key = None)
}

const GONE: &[(&str, &str)] = &[("192.168.2.9/32", "b"), ("fd99:0:0:2::9/128", "b"), ("172.20.0.0/16", "b")];

#[test]
fn what_a_node_of_another_location_had_is_closed() {
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        let mesh = mesh([node("a1"), node("a2"), node("b1")]).granularity(granularity);
        assert_eq!(outcome_of_host(&mesh, "a1", "192.168.2.9"), Outcome::Uplink("a1".parse().unwrap()));
        let mesh = mesh.with(former(GONE));
        for name in ["a1", "a2"] {
            for (network, _) in GONE {
                assert!(is_closed(&mesh, name, network), "{network} on {name} in {granularity}");
            }
            assert!(mesh.plan(name).warnings.is_empty());
        }
        for destination in ["192.168.2.9", "fd99:0:0:2::9", "172.20.3.4"] {
            let dropped = Outcome::Dropped("a1".parse().unwrap(), DropReason::UnreachableRoute);
            assert_eq!(outcome_of_host(&mesh, "a1", destination), dropped, "{destination} in {granularity}");
        }
        let of_pod = mesh.walk("a2", "10.42.12.9", "192.168.2.9").outcome;
        assert_eq!(of_pod, Outcome::Dropped("a2".parse().unwrap(), DropReason::UnreachableRoute), "{granularity}");
    }
}

#[test]
fn what_a_node_of_the_own_location_had_is_reached_directly() {
    let plain = mesh([node("a1"), node("b1"), node("b2")]);
    assert!(plain.clone().with(former(GONE)).plan("b1") == plain.plan("b1"));
}

#[test]
fn what_a_node_of_the_same_name_of_location_had_is_closed_on_a_node_that_is_alone() {
    let alone = node("a3").with(|node| node.internal_addresses = InternalAddresses::None);
    let mesh = mesh([node("a1"), alone, node("b1")]).with(former(&[("192.168.1.9/32", "a")]));
    assert!(mesh.plan("a3").location.alone);
    assert!(is_closed(&mesh, "a3", "192.168.1.9/32"));
    assert!(!is_closed(&mesh, "a1", "192.168.1.9/32"));
}

#[test]
fn a_setting_that_names_the_pods_networks_opens_nothing_else() {
    let mesh = mesh([node("a1"), node("b1")]).set(|settings| settings.cluster_cidrs = nets(&["10.42.0.0/16"]));
    let mesh = mesh.with(former(GONE));
    for (network, _) in GONE {
        assert!(is_closed(&mesh, "a1", network), "{network}");
    }
}

/// Nodes, locations, Peers, hosts and settings that have a network of each kind.
fn full_world() -> Mesh {
    let gate = node("b1").with(|node| node.endpoint = Some("192.168.77.1:51820".parse().unwrap()));
    let lan = node("c1").with(|node| node.allowed_location_cidrs = nets(&["172.20.0.0/16"]));
    let own_lan = node("a1").with(|node| node.allowed_location_cidrs = nets(&["172.25.0.0/16"]));
    let dialled = outside("dialled", 200, &["172.30.0.0/16"]).with(|peer| {
        peer.location = location("c");
        peer.endpoint = Some("192.168.88.1:51820".parse().unwrap());
    });
    let unserved = outside("unserved", 201, &["172.31.0.0/16"]).with(|peer| peer.location = location("z"));
    let mesh = mesh([own_lan, node("a2"), gate, node("b2"), lan]).peer(dialled).peer(unserved);
    mesh.set(|settings| {
        settings.service_cidrs = nets(&["10.96.0.0/12"]);
        settings.local.api_servers = ["192.168.99.9".parse().unwrap()].into();
        settings.local.networks = [(net("10.8.0.0/24"), "tun0".parse().unwrap())].into();
    })
}

#[test]
fn a_former_network_closes_nothing_that_is_in_use() {
    let plain = full_world();
    for (network, owner) in [
        ("192.168.2.2/32", "a node of another location"),
        ("fd99:0:0:2::2/128", "the same, in IPv6"),
        ("192.168.1.2/32", "a node of the own location"),
        ("192.168.1.1/32", "the node itself"),
        ("10.42.22.7/32", "pods of another node"),
        ("10.42.11.7/32", "pods of the node itself"),
        ("10.4.0.77/32", "the mesh CIDR"),
        ("10.100.0.1/32", "the Service CIDR"),
        ("172.20.7.7/32", "a network of another location"),
        ("172.20.0.0/16", "the same as a whole"),
        ("172.25.7.7/32", "a network of the own location"),
        ("172.30.7.7/32", "a Peer"),
        ("172.31.7.7/32", "a Peer that no node serves"),
        ("192.168.1.77/32", "the subnet of the own internal address"),
        ("10.8.0.7/32", "another network of the host"),
        ("192.168.99.9/32", "the API server"),
        ("100.100.100.200/32", "a cloud's metadata service"),
        ("192.168.77.1/32", "an endpoint that people set for a gateway"),
        ("192.168.88.1/32", "an endpoint that people set for a Peer"),
    ] {
        let mut mesh = plain.clone();
        mesh.cluster.former_networks = [(net(network), "z".parse().unwrap())].into();
        assert!(mesh.plan("a1") == plain.plan("a1"), "{network} is closed: it belongs to {owner}");
    }
}

#[test]
fn a_former_network_is_open_where_the_host_reaches_something_inside() {
    let plain = full_world();
    let mesh = plain.clone().with(former(&[("192.168.0.0/16", "z"), ("10.0.0.0/8", "z")]));
    let plan = mesh.plan("a1");
    assert!(is_closed(&mesh, "a1", "192.168.0.0/16") && is_closed(&mesh, "a1", "10.0.0.0/8"));
    for open in [
        "192.168.1.0/24",
        "192.168.1.2/32",
        "192.168.99.9/32",
        "192.168.77.1/32",
        "192.168.88.1/32",
        "10.8.0.0/24",
        "10.42.11.0/24",
        "10.96.0.0/12",
    ] {
        assert_eq!(next_hop(&plan, open), Some(&NextHop::Throw), "{open}");
        assert!(plan.firewall.direct.contains(&net(open)), "{open}");
    }
    assert_eq!(plan.warnings, plain.plan("a1").warnings, "no object has the network, so that no warning names one");
    for carried in ["192.168.2.2/32", "10.42.22.0/24", "10.4.0.22/32"] {
        assert_eq!(next_hop(&plan, carried), next_hop(&plain.plan("a1"), carried), "{carried}");
        assert_eq!(next_hop(&plan, carried), Some(&NextHop::WireGuard), "{carried}");
    }
}

#[test]
fn a_neighbour_opens_no_former_network_in_which_the_location_has_no_other_address() {
    let neighbour = node("a2").with(|node| node.internal_addresses = internal(&["172.22.0.2/24"]));
    let plain = mesh([node("a1"), neighbour, node("b1")]);
    let mesh = plain.clone().with(former(&[("172.22.0.0/16", "z")]));
    assert!(is_closed(&mesh, "a1", "172.22.0.0/16"));
    assert_eq!(next_hop(&mesh.plan("a1"), "172.22.0.2/32"), None);
    assert_eq!(mesh.plan("a1").warnings, plain.plan("a1").warnings);
    let certain =
        mesh.change("a2", |node| node.internal_addresses = InternalAddresses::Forced(nets(&["172.22.0.2/24"])));
    assert_eq!(next_hop(&certain.plan("a1"), "172.22.0.2/32"), Some(&NextHop::Throw));
}

#[test]
fn a_gateway_that_is_dialled_at_its_internal_address_stays_reachable_inside_a_former_network() {
    let interconnected = node("b1").with(|node| {
        node.advertised_endpoints = endpoints(&["192.168.2.1"]);
        node.gateway = Preference::Preferred;
    });
    let plain = mesh([node("a1"), interconnected]);
    assert_eq!(next_hop(&plain.plan("a1"), "192.168.2.1/32"), None, "the mesh does not carry it");
    let mesh = plain.with(former(&[("192.168.0.0/16", "z")]));
    assert!(is_closed(&mesh, "a1", "192.168.0.0/16"));
    assert_eq!(next_hop(&mesh.plan("a1"), "192.168.2.1/32"), Some(&NextHop::Throw));
}

#[test]
fn an_address_of_a_name_opens_no_former_address() {
    let endpoint: Endpoint = "gate.example:51820".parse().unwrap();
    let Host::Name(name) = endpoint.host.clone() else { panic!("no name") };
    let mesh = mesh([node("a1"), node("b1").with(|node| node.endpoint = Some(endpoint))]).set(|settings| {
        settings.local.resolved = [(name, ["192.168.2.9".parse().unwrap()].into())].into();
    });
    assert!(is_closed(&mesh.with(former(GONE)), "a1", "192.168.2.9/32"));
}

#[test]
fn the_address_that_the_agent_of_a_node_without_a_key_found_is_closed() {
    let plain = mesh([node("a1"), node("b1")]);
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        let mesh = mesh([node("a1"), node("b1"), without_key("b2")]).granularity(granularity);
        assert!(is_closed(&mesh, "a1", "192.168.2.2/32") && is_closed(&mesh, "a1", "fd99:0:0:2::2/128"));
        let elsewhere = mesh.clone().change("b2", |node| node.internal_addresses = internal(&["192.168.60.2/24"]));
        assert!(is_closed(&elsewhere, "a1", "192.168.60.2/32"));
        assert!(!is_closed(&elsewhere, "b1", "192.168.60.2/32"), "its neighbour reaches it directly");
        let published = mesh.change("b2", |node| node.public_key = Some(key(22)));
        assert_eq!(next_hop(&published.plan("a1"), "192.168.2.2/32"), Some(&NextHop::WireGuard));
        assert!(routes(&published.plan("a1"), "192.168.2.2/32").len() == 2, "the route behind it stays");
    }
    let same_key = node("b2").with(|node| node.public_key = Some(key(21)));
    assert!(is_closed(&mesh([node("a1"), node("b1"), same_key]), "a1", "192.168.2.2/32"));

    type Case = (&'static str, fn(&mut Node));
    let open: [Case; 4] = [
        ("people set it", |node| node.internal_addresses = InternalAddresses::Forced(nets(&["192.168.2.2/24"]))),
        ("it is public", |node| node.internal_addresses = internal(&["203.0.113.7/24"])),
        ("it is dialled there", |node| node.advertised_endpoints = endpoints(&["192.168.2.2", "fd99:0:0:2::2"])),
        ("it is link-local", |node| node.internal_addresses = internal(&["169.254.7.7/16"])),
    ];
    for (reason, change) in open {
        let mesh = mesh([node("a1"), node("b1"), without_key("b2").with(change).with(|node| node.pod_cidrs.clear())]);
        assert_eq!(mesh.plan("a1").routes, plain.plan("a1").routes, "{reason}");
    }
    let bounds = |settings: &mut carrick_topology::Settings| {
        settings.internal_address_bounds = Some(nets(&["192.168.1.0/24", "192.168.2.0/31", "fd99::/32"]));
    };
    let mesh = mesh([node("a1"), node("b1"), without_key("b2")]).set(bounds);
    assert!(!is_closed(&mesh, "a1", "192.168.2.2/32"), "it is outside of the networks of internal addresses");
}
