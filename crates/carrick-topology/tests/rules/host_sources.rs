//! Which source address the host's own packets to nodes of other locations have.

use std::net::IpAddr;

use carrick_topology::model::{AgentVersion, Encapsulation, Granularity, InternalAddresses, Node, Preference};
use carrick_topology::plan::plan_all;
use carrick_topology::walk::{Network, Origin, Outcome, Packet, Walk};
use carrick_topology::{Warning, WarningReason};

use crate::fixtures::node_object;
use crate::fixtures::{Changed, Mesh, endpoints, gateway, internal, mesh, nat_node, net, nets, node, routes, warning};

/// A node whose agent says which networks it reaches outside the mesh.
fn told(node: Node, outside_mesh: &[&str]) -> Node {
    node.with(|node| {
        node.agent = Some(AgentVersion {
            version: "1".to_owned(),
            protocol: AgentVersion::TELLS_OUTSIDE_MESH,
            settings: String::new(),
            outside_mesh: nets(outside_mesh),
        });
    })
}

fn agent(name: &str) -> Node {
    told(node(name), &[])
}

/// Two locations with two nodes each; `a1` and `b1` are the gateways.
fn two_locations() -> Mesh {
    mesh(["a1", "a2", "b1", "b2"].map(agent)).set(|settings| settings.standby_gateways = 0)
}

/// Walks a packet of the host itself, without a source, and the answer.
fn round_trip(mesh: &Mesh, from: &str, to: &str) -> (Walk, Walk) {
    let plans = plan_all(&mesh.cluster, &mesh.settings, &mesh.liveness);
    let network = Network::new(&mesh.cluster, &mesh.settings, &mesh.liveness, &plans);
    let packet = Packet { source: None, destination: to.parse().unwrap() };
    let there = network.walk(&Origin::Host(from.parse().unwrap()), packet);
    let back = network.answer(&there, packet).unwrap_or_else(|| panic!("{there:?}"));
    (there, back)
}

/// The source that the node `to` sees of a packet from the host `from`, whose answer arrives.
fn seen(mesh: &Mesh, from: &str, to: &str, address: &str) -> IpAddr {
    let (there, back) = round_trip(mesh, from, address);
    assert_eq!(there.outcome, Outcome::Host(to.parse().unwrap()), "{there:?}");
    assert_eq!(back.outcome, Outcome::Host(from.parse().unwrap()), "{back:?}");
    there.source.unwrap()
}

/// The source of the route to an address.
fn source(mesh: &Mesh, from: &str, to: &str) -> Option<String> {
    routes(&mesh.plan(from), to).first()?.source.map(|source| source.to_string())
}

fn warnings(mesh: &Mesh, node: &str) -> Vec<Warning> {
    let plan = mesh.plan(node);
    let of_sources =
        plan.warnings.into_iter().filter(|warning| matches!(warning.reason, WarningReason::MeshAddressTowards { .. }));
    of_sources.collect()
}

#[test]
fn a_node_sees_the_internal_address_of_a_node_of_another_location() {
    for granularity in [Granularity::Location, Granularity::Cross, Granularity::Full] {
        for encapsulation in [Encapsulation::Always, Encapsulation::CrossSubnet, Encapsulation::Never] {
            let mesh = two_locations().granularity(granularity).set(|settings| settings.encapsulation = encapsulation);
            for (from, to) in [("a1", "b1"), ("a1", "b2"), ("a2", "b1"), ("a2", "b2"), ("b2", "a2")] {
                let (sender, receiver) = (from.as_bytes(), to.as_bytes());
                let address = |node: &[u8], prefix: &str, colons: &str| {
                    format!("{prefix}{}{colons}{}", node[0] - b'a' + 1, node[1] - b'0')
                };
                for (prefix, colons) in [("192.168.", "."), ("fd99:0:0:", "::")] {
                    let seen = seen(&mesh, from, to, &address(receiver, prefix, colons));
                    let own = address(sender, prefix, colons);
                    assert_eq!(seen.to_string(), own, "{from} to {to}, {granularity}, {encapsulation}");
                }
            }
        }
    }
}

#[test]
fn pods_and_mesh_addresses_get_the_mesh_address_as_before() {
    let mesh = two_locations();
    for destination in ["10.42.22.0/24", "10.4.0.22/32"] {
        assert_eq!(source(&mesh, "a2", destination).as_deref(), Some("10.4.0.12"), "{destination}");
    }
    assert_eq!(seen(&mesh, "a2", "b2", "10.4.0.22").to_string(), "10.4.0.12");
}

#[test]
fn packets_of_pods_to_a_node_behind_a_gateway_have_the_address_of_the_gateway_as_before() {
    for encapsulation in [Encapsulation::Always, Encapsulation::CrossSubnet, Encapsulation::Never] {
        let mesh = two_locations().set(|settings| settings.encapsulation = encapsulation);
        let walk = mesh.walk("a2", "10.42.12.9", "192.168.2.2");
        assert_eq!(walk.outcome, Outcome::Host("b2".parse().unwrap()), "{walk:?}");
        assert_eq!(walk.source, Some("192.168.2.1".parse().unwrap()), "{encapsulation}");
    }
}

/// The warning of `a2` about a node that reaches its address outside the mesh.
fn warning_of_a2(location: &str, node: &str, network: &str) -> Warning {
    let reason = WarningReason::MeshAddressTowards {
        location: location.parse().unwrap(),
        node: node.parse().unwrap(),
        network: net(network),
    };
    warning(node_object("a2"), "internal-addresses", "192.168.1.2", reason)
}

#[test]
fn a_node_that_reaches_the_address_outside_the_mesh_sees_the_mesh_address() {
    for network in ["192.168.1.0/24", "192.168.0.0/16", "192.168.1.2/32"] {
        let mesh = mesh([agent("a1"), agent("a2"), agent("b1"), told(node("b2"), &[network])]);
        assert_eq!(source(&mesh, "a2", "192.168.2.2/32").as_deref(), Some("10.4.0.12"), "{network}");
        assert_eq!(source(&mesh, "a2", "192.168.2.1/32").as_deref(), Some("192.168.1.2"), "b1 is not concerned");
        assert_eq!(source(&mesh, "a2", "fd99:0:0:2::2/128").as_deref(), Some("fd99:0:0:1::2"), "the other family");
        assert_eq!(warnings(&mesh, "a2"), [warning_of_a2("b", "b2", network)]);
        assert_eq!(seen(&mesh, "a2", "b2", "192.168.2.2").to_string(), "10.4.0.12");
    }
}

#[test]
fn a_gateway_or_relay_that_reaches_the_address_outside_the_mesh_would_lose_the_answers() {
    let network = "192.168.1.0/24";
    let gateway_outside = mesh([agent("a1"), agent("a2"), told(node("b1"), &[network]), agent("b2")])
        .set(|settings| settings.standby_gateways = 0);
    assert_eq!(source(&gateway_outside, "a2", "192.168.2.2/32").as_deref(), Some("10.4.0.12"));
    assert_eq!(warnings(&gateway_outside, "a2"), [warning_of_a2("b", "b1", network)]);

    let behind_nat = |name: &str| told(nat_node(name), &[]);
    let relayed = mesh([behind_nat("a2"), behind_nat("b2"), told(node("c1"), &[network])]);
    assert_eq!(source(&relayed, "a2", "192.168.2.2/32").as_deref(), Some("10.4.0.12"));
    assert_eq!(
        warnings(&relayed, "a2"),
        [warning_of_a2("b", "c1", network), warning_of_a2("c", "c1", network)],
        "c1 is the relay, and a node itself"
    );
    let direct = relayed.change("c1", |node| node.agent.as_mut().unwrap().outside_mesh.clear());
    assert_eq!(source(&direct, "a2", "192.168.2.2/32").as_deref(), Some("192.168.1.2"));
}

#[test]
fn agents_that_are_too_old_to_say_what_they_reach_see_the_mesh_address() {
    let old = |protocol: u32| agent("b2").with(|node| node.agent.as_mut().unwrap().protocol = protocol);
    for b2 in [old(1), old(2), node("b2")] {
        let mesh = mesh([agent("a1"), agent("a2"), agent("b1"), b2]);
        assert_eq!(source(&mesh, "a2", "192.168.2.2/32").as_deref(), Some("10.4.0.12"));
        assert_eq!(source(&mesh, "a2", "192.168.2.1/32").as_deref(), Some("192.168.1.2"));
        assert_eq!(warnings(&mesh, "a2"), []);
    }
}

#[test]
fn an_address_that_is_dialled_or_on_no_interface_is_no_source() {
    let dialled = agent("a1").with(|node| node.advertised_endpoints = endpoints(&["192.168.1.1"]));
    let mesh = mesh([dialled, agent("a2"), agent("b1"), agent("b2")]);
    assert_eq!(source(&mesh, "a1", "192.168.2.2/32").as_deref(), Some("10.4.0.11"));
    assert_eq!(source(&mesh, "a1", "fd99:0:0:2::2/128").as_deref(), Some("fd99:0:0:1::1"));
    assert_eq!(source(&mesh, "a2", "192.168.2.2/32").as_deref(), Some("192.168.1.2"));

    let absent = two_locations().set(|settings| settings.local.internal_devices.clear());
    assert_eq!(source(&absent, "a2", "192.168.2.2/32").as_deref(), Some("10.4.0.12"));
}

#[test]
fn a_node_publishes_the_networks_in_which_it_reaches_addresses_of_other_locations_outside_the_mesh() {
    let outside = |mesh: &Mesh| mesh.plan("b2").outside_mesh;
    let plain = two_locations();
    assert_eq!(outside(&plain), nets(&[]), "no network has such addresses");

    let attached = |list: &[&str]| {
        let list: Vec<_> = list.iter().map(|text| (net(text), "vpn0".parse().unwrap())).collect();
        plain.clone().set(|settings| settings.local.networks = list.into_iter().collect())
    };
    assert_eq!(outside(&attached(&["192.168.1.0/24", "172.17.0.0/16"])), nets(&["192.168.1.0/24"]));
    assert_eq!(
        outside(&attached(&["fd99:0:0:1::/64", "192.168.1.2/32"])),
        nets(&["fd99:0:0:1::/64", "192.168.1.2/32"])
    );

    let api = plain.clone().set(|settings| settings.local.api_servers = ["192.168.1.1".parse().unwrap()].into());
    assert_eq!(outside(&api), nets(&["192.168.1.1/32"]), "the API server stays outside the mesh");

    let same_numbers = plain.change("b2", |node| node.internal_addresses = internal(&["192.168.1.77/24"]));
    assert_eq!(outside(&same_numbers), nets(&["192.168.1.0/24"]), "its own subnet");
}

#[test]
fn a_gateway_that_cannot_encapsulate_gives_packets_to_nodes_its_own_address() {
    let apart = agent("b2").with(|node| node.internal_addresses = internal(&["192.168.77.2/24"]));
    let mesh = mesh([agent("a1"), agent("a2"), agent("b1").with(gateway(Preference::Preferred)), apart])
        .set(|settings| (settings.encapsulation, settings.standby_gateways) = (Encapsulation::Never, 0));
    assert!(mesh.plan("b1").location_routes.is_empty());
    let plans = plan_all(&mesh.cluster, &mesh.settings, &mesh.liveness);
    let network = Network::new(&mesh.cluster, &mesh.settings, &mesh.liveness, &plans);
    let packet = Packet { source: None, destination: "192.168.77.2".parse().unwrap() };
    let walk = network.walk(&Origin::Host("a1".parse().unwrap()), packet);
    assert_eq!(walk.source, Some("192.168.2.1".parse().unwrap()), "{walk:?}");
}

#[test]
fn nodes_that_are_no_gateways_and_meshes_without_gateways_have_no_routes_into_the_location() {
    let routed = |mesh: &Mesh, node: &str| mesh.plan(node).location_routes.len();
    assert_eq!(routed(&two_locations(), "b1"), 2, "both families of b2");
    assert_eq!(routed(&two_locations(), "b2"), 0);
    for granularity in [Granularity::Cross, Granularity::Full] {
        assert_eq!(routed(&two_locations().granularity(granularity), "b1"), 0);
    }
    let none = two_locations().change("b2", |node| node.internal_addresses = InternalAddresses::None);
    assert_eq!(routed(&none, "b1"), 0);
}
