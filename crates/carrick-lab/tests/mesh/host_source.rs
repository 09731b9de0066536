//! Which source address a server on a node sees of packets of other nodes themselves.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use carrick_lab::address::{Families, Family};
use carrick_lab::namespace::Namespaces;
use carrick_lab::wait;
use carrick_topology::{Encapsulation, Granularity};
use ipnet::IpNet;
use serde_json::json;

use crate::mesh::Mesh;

/// How long a packet may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// The source that a server on this node sees of a packet that the other node's host sends it.
fn seen(from: &Namespaces, to: &Namespaces, address: IpAddr) -> Option<IpAddr> {
    let server = to.enter(|| Ok(UdpSocket::bind(SocketAddr::new(address, 0))?)).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = server.local_addr().unwrap().port();
    let unspecified: IpAddr = if address.is_ipv4() { [0; 4].into() } else { [0_u8; 16].into() };
    let client = from.enter(|| Ok(UdpSocket::bind((unspecified, 0))?)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"?", (address, port)).ok()?;
    let mut buffer = [0; 8];
    let (_, source) = server.recv_from(&mut buffer).ok()?;
    server.send_to(b"!", source).ok()?;
    client.recv_from(&mut buffer).ok()?;
    Some(source.ip())
}

/// Waits until the server sees this source, and the client its answer.
fn await_seen(mesh: &Mesh, from: &str, to: &str, address: IpAddr, wanted: IpAddr) {
    await_seen_of(mesh, (from, &mesh.node_namespaces(from)), to, address, wanted);
}

/// The same of a packet from these namespaces.
fn await_seen_of(mesh: &Mesh, (from, client): (&str, &Namespaces), to: &str, address: IpAddr, wanted: IpAddr) {
    let server = mesh.node_namespaces(to);
    let mut last = None;
    let result = wait::until(&format!("{from} to {to} at {address} as {wanted}"), || {
        last = seen(client, &server, address);
        Ok((last == Some(wanted)).then_some(()))
    });
    assert!(result.is_ok(), "{from} to {to} at {address}: seen as {last:?}, not as {wanted}");
}

/// The IPv4 mesh address of a node.
fn mesh_address(mesh: &Mesh, node: &str) -> IpAddr {
    let node = mesh.kubernetes().node(node).unwrap();
    let all = node["metadata"]["annotations"]["carrick.dev/mesh-addresses"].as_str().unwrap();
    all.split(',').map(|address| address.parse().unwrap()).find(IpAddr::is_ipv4).unwrap()
}

const NODES: [&str; 4] = ["a1", "a2", "b1", "b2"];

fn every_node_sees_the_internal_address_of_every_other(granularity: Granularity, encapsulation: Encapsulation) {
    // JSON is YAML.
    let topology = json!({
        "families": Families::Dual,
        "agent": { "granularity": granularity, "encapsulation": encapsulation, "flags": ["--standby-gateways=0"] },
        "locations": [
            { "name": "a", "nodes": [{ "name": "a1" }, { "name": "a2" }] },
            { "name": "b", "nodes": [{ "name": "b1" }, { "name": "b2" }] },
        ],
    });
    let mesh = Mesh::up(&topology.to_string());
    mesh.all_reach();
    for family in [Family::V4, Family::V6] {
        for (from, to) in NODES.iter().flat_map(|from| NODES.iter().map(move |to| (*from, *to))) {
            if from != to {
                let (own, address) = (mesh.internal_address(from, family), mesh.internal_address(to, family));
                await_seen(&mesh, from, to, address, own);
            }
        }
    }
    for node in NODES {
        assert!(mesh.warnings(node).is_empty(), "{:?}", mesh.warnings(node));
    }
}

#[test]
fn location_always_shows_internal_addresses() {
    every_node_sees_the_internal_address_of_every_other(Granularity::Location, Encapsulation::Always);
}

#[test]
fn location_cross_subnet_shows_internal_addresses() {
    every_node_sees_the_internal_address_of_every_other(Granularity::Location, Encapsulation::CrossSubnet);
}

#[test]
fn cross_always_shows_internal_addresses() {
    every_node_sees_the_internal_address_of_every_other(Granularity::Cross, Encapsulation::Always);
}

#[test]
fn full_always_shows_internal_addresses() {
    every_node_sees_the_internal_address_of_every_other(Granularity::Full, Encapsulation::Always);
}

/// Two locations whose networks have the same numbers: `b2` is in a subnet that contains the address of `a1`.
#[test]
fn where_two_locations_have_the_same_numbers_the_mesh_address_remains_and_a_warning_says_so() {
    let mesh = Mesh::up(
        "
families: v4
agent: {flags: ['--standby-gateways=0']}
locations:
  - {name: a, families: v4, subnets: [{v4: 10.77.0.200/29}], nodes: [{name: a1}]}
  - {name: b, families: v4, subnets: [{v4: 10.77.0.0/24}, {v4: 10.78.0.0/24}], nodes: [{name: b1, subnet: 1}, {name: b2}]}
",
    );
    let family = Family::V4;
    let mesh_address = mesh_address(&mesh, "a1");
    await_seen(&mesh, "a1", "b1", mesh.internal_address("b1", family), mesh.internal_address("a1", family));
    await_seen(&mesh, "a1", "b2", mesh.internal_address("b2", family), mesh_address);
    let warnings = mesh.warnings("a1");
    let expected = ["`b2` reaches outside the mesh", "location `b`", "10.77.0.0/24"];
    let is_told = |warning: &String| expected.iter().all(|part| warning.contains(part));
    assert!(warnings.iter().any(is_told), "{warnings:#?}");
}

/// A network of the far host that appears while flows run.
#[test]
fn a_vpn_of_another_node_with_the_same_numbers_changes_the_source_and_back() {
    let mesh = Mesh::up("families: v4\nlocations: [{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    let family = Family::V4;
    let (own, far) = (mesh.internal_address("a1", family), mesh.internal_address("b1", family));
    let mesh_address = mesh_address(&mesh, "a1");
    await_seen(&mesh, "a1", "b1", far, own);
    let vpn = mesh.node_namespaces("b1");
    vpn.exec(&["ip", "link", "add", "vpn0", "type", "veth", "peer", "name", "vpn1"]).unwrap();
    vpn.exec(&["ip", "link", "set", "vpn0", "up"]).unwrap();
    vpn.exec(&["ip", "link", "set", "vpn1", "up"]).unwrap();
    let network = IpNet::new(own, 24).unwrap().trunc();
    vpn.exec(&["ip", "route", "add", &network.to_string(), "dev", "vpn0"]).unwrap();
    await_seen(&mesh, "a1", "b1", far, mesh_address);
    vpn.exec(&["ip", "link", "delete", "vpn0"]).unwrap();
    await_seen(&mesh, "a1", "b1", far, own);
}

/// As a network manager does it that starts again.
#[test]
fn an_address_that_a_network_manager_takes_away_for_a_moment_cuts_nothing_off() {
    let mesh = Mesh::up("families: v4\nlocations: [{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    let family = Family::V4;
    let (own, far) = (mesh.internal_address("a1", family), mesh.internal_address("b1", family));
    await_seen(&mesh, "a1", "b1", far, own);
    let node = mesh.node_namespaces("a1");
    let shown = node.exec(&["ip", "-json", "-4", "address", "show", "to", &format!("{own}/32")]).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let device = shown[0]["ifname"].as_str().unwrap();
    let net = format!("{own}/{}", shown[0]["addr_info"][0]["prefixlen"]);
    let routes = node.exec(&["ip", "-4", "route", "show", "dev", device]).unwrap();
    node.exec(&["ip", "address", "delete", &net, "dev", device]).unwrap();
    node.exec(&["ip", "address", "add", &net, "dev", device]).unwrap();
    for route in routes.lines().filter(|route| !route.contains("proto kernel")) {
        let words: Vec<&str> = ["ip", "route", "replace"].into_iter().chain(route.split_whitespace()).collect();
        node.exec(&[&words[..], &["dev", device]].concat()).unwrap();
    }
    await_seen(&mesh, "a1", "b1", far, own);
}

/// As on a host with several uplinks, whose own address is on the loopback device.
#[test]
fn pods_leave_the_mesh_with_the_address_that_the_default_route_names() {
    let mesh = Mesh::up("families: v4\nlocations: [{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    let public = |node: &str| mesh.node(node).unwrap().layout().public.v4.unwrap();
    let (old, far): (Ipv4Addr, IpAddr) = (public("a1"), public("b1").into());
    let pod = mesh.pod("a1-pod1").unwrap().namespaces();
    await_seen_of(&mesh, ("a1-pod1", pod), "b1", far, old.into());

    let new = Ipv4Addr::from_bits(old.to_bits() + 7);
    let lan = &mesh.node("a1").unwrap().layout().lan.bridge;
    let inside = mesh.internal_address("a1", Family::V4).to_string();
    let router = mesh.site("a").unwrap().router();
    router.exec(&["ip", "route", "add", &format!("{new}/32"), "via", &inside, "dev", lan]).unwrap();
    let node = mesh.node_namespaces("a1");
    node.exec(&["ip", "address", "add", &format!("{new}/32"), "dev", "lo"]).unwrap();
    let route = node.exec(&["ip", "route", "show", "default"]).unwrap().replace(&old.to_string(), &new.to_string());
    let command: Vec<&str> = ["ip", "route", "replace"].into_iter().chain(route.split_whitespace()).collect();
    node.exec(&command).unwrap();
    await_seen_of(&mesh, ("a1-pod1", pod), "b1", far, new.into());
}
