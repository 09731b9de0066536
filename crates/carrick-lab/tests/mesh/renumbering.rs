//! Hosts whose IPv6 comes from router advertisements, and whose provider gives them another prefix.
//!
//! The tests install what the kernel makes of an advertisement: a default route of protocol `ra` through the router's link-local address, and
//! addresses with lifetimes.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use carrick_lab::address::Family;
use carrick_lab::flow::Flow;
use carrick_lab::layout::UPLINK_LINK_LOCAL;
use carrick_lab::wait;
use serde_json::Value;

use crate::mesh::Mesh;

/// How long a new address may take from the kernel's notification to the Node, on a machine that runs other tests.
const PUBLICATION_LIMIT: Duration = Duration::from_secs(20);

/// The router's link-local address, which it advertises as the gateway.
const GATEWAY: &str = "fe80::a";

/// A node whose IPv6 addresses change.
struct Host<'m> {
    mesh: &'m Mesh,
    node: &'static str,
    old: Ipv6Addr,
    new: Ipv6Addr,
}

impl<'m> Host<'m> {
    /// The node with an address that came from an advertisement. The provider routes a second prefix to it.
    fn new(mesh: &'m Mesh, node: &'static str, location: &str, number: u16) -> Self {
        let site = mesh.site(location).unwrap();
        let old = mesh.node(node).unwrap().layout().public.v6.unwrap();
        let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0xaa00 + number, 0, 0, 0, 0, 0);
        let new = Ipv6Addr::from_bits(prefix.to_bits() | 0x5);
        let (_, router_address) = UPLINK_LINK_LOCAL;
        let (internet, router) = (mesh.internet().namespaces(), site.router());
        let via = router_address.to_string();
        internet.exec(&["ip", "-6", "route", "add", &format!("{prefix}/64"), "via", &via, "dev", location]).unwrap();
        let inside = mesh.internal_address(node, Family::V6).to_string();
        let lan = &mesh.node(node).unwrap().layout().lan.bridge;
        router.exec(&["ip", "-6", "route", "add", &format!("{new}/128"), "via", &inside, "dev", lan]).unwrap();

        let host = Self { mesh, node, old, new };
        router.exec(&["ip", "-6", "address", "add", &format!("{GATEWAY}/64"), "dev", lan, "nodad"]).unwrap();
        host.ip("address add fe80::b/64 dev eth0 nodad");
        host.ip(&format!("route replace default via {GATEWAY} dev eth0 proto ra metric 512 expires 1800"));
        host.ip("route delete default metric 1024");
        host.ip(&format!("address replace {old}/64 dev eth0 valid_lft 2000 preferred_lft 1000 noprefixroute nodad"));
        host
    }

    fn ip(&self, arguments: &str) {
        let command: Vec<&str> = ["ip", "-6"].into_iter().chain(arguments.split(' ')).collect();
        self.mesh.node_namespaces(self.node).exec(&command).unwrap();
    }

    fn add_new(&self) {
        self.ip(&format!("address add {}/64 dev eth0 valid_lft 2000 preferred_lft 1000 noprefixroute nodad", self.new));
    }

    fn deprecate_old(&self) {
        self.ip(&format!("address replace {}/64 dev eth0 valid_lft 900 preferred_lft 0 noprefixroute nodad", self.old));
    }

    fn remove_old(&self) {
        let listed = self.mesh.node_namespaces(self.node).exec(&["ip", "-json", "-6", "address", "show"]).unwrap();
        let devices: Vec<Value> = serde_json::from_str(&listed).unwrap();
        let all = devices.iter().flat_map(|device| device["addr_info"].as_array().unwrap());
        for own in all.filter(|own| own["local"] == self.old.to_string()) {
            self.ip(&format!("address delete {}/{} dev eth0", self.old, own["prefixlen"]));
        }
    }

    fn endpoints(&self) -> String {
        let node = self.mesh.kubernetes().node(self.node).unwrap();
        node["metadata"]["annotations"]["carrick.dev/advertised-endpoints"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the Node shows the new address in place of the old one, in the time that this may take since `began`.
    fn await_new(&self, began: Instant) {
        let is_there = |endpoints: &str, address: Ipv6Addr| endpoints.contains(&format!("[{address}]"));
        wait::until("the new address", || {
            let endpoints = self.endpoints();
            Ok((is_there(&endpoints, self.new) && !is_there(&endpoints, self.old)).then_some(()))
        })
        .unwrap_or_else(|error| panic!("{error}: {}", self.endpoints()));
        let took = began.elapsed();
        eprintln!("published after {} ms", took.as_millis());
        assert!(took < PUBLICATION_LIMIT, "{took:?}");
    }

    /// The address at which another node dials this one now.
    fn await_dialled_by(&self, other: &str, address: IpAddr) {
        wait::until(&format!("{other} dials {address}"), || {
            let shown = self.mesh.node_namespaces(other).exec(&["wg", "show", "carrick0", "endpoints"])?;
            let wanted = match address {
                IpAddr::V4(address) => format!("\t{address}:"),
                IpAddr::V6(address) => format!("\t[{address}]:"),
            };
            Ok(shown.contains(&wanted).then_some(()))
        })
        .unwrap();
    }
}

const V6_ALONE: &str = "families: v6\nlocations: [{name: a, families: v6, nodes: [{name: a1}]}, {name: b, families: v6, nodes: [{name: b1}]}]";

#[test]
fn a_node_with_ipv6_alone_moves_to_a_new_prefix_without_a_lost_packet() {
    let mesh = Mesh::up(V6_ALONE);
    let host = Host::new(&mesh, "a1", "a", 1);
    mesh.all_reach();
    let flow = mesh.flow("a1-pod1", "b1-pod1", Family::V6);
    host.add_new();
    flow.await_answers(50).unwrap();
    assert!(host.endpoints().contains(&host.old.to_string()), "{}", host.endpoints());
    let began = Instant::now();
    host.deprecate_old();
    host.await_new(began);
    host.await_dialled_by("b1", host.new.into());
    flow.await_answers(100).unwrap();
    host.remove_old();
    flow.await_answers(300).unwrap();
    let report = flow.stop().unwrap();
    assert!(report.lost.is_empty(), "{report:?}");
    mesh.all_reach();
}

#[test]
fn a_gateway_with_both_families_keeps_its_ipv4_sessions_while_its_ipv6_prefix_changes() {
    let mesh = Mesh::up("locations: [{name: a, nodes: [{name: a1}]}, {name: b, nodes: [{name: b1}]}]");
    let host = Host::new(&mesh, "a1", "a", 2);
    mesh.all_reach();
    let v4 = mesh.node("a1").unwrap().layout().public.v4.unwrap();
    host.await_dialled_by("b1", v4.into());
    let flows = Family::BOTH.map(|family| mesh.flow("a1-pod1", "b1-pod1", family));
    host.add_new();
    let began = Instant::now();
    host.deprecate_old();
    host.await_new(began);
    host.remove_old();
    assert!(host.endpoints().contains(&v4.to_string()), "{}", host.endpoints());
    Flow::await_answers_of_all(&flows, 100).unwrap();
    for flow in flows {
        let report = flow.stop().unwrap();
        assert!(report.lost.is_empty(), "{report:?}");
    }
    host.await_dialled_by("b1", v4.into());
}

#[test]
fn a_host_whose_advertised_default_route_goes_for_a_moment_comes_back() {
    let mesh = Mesh::up(V6_ALONE);
    let host = Host::new(&mesh, "a1", "a", 3);
    mesh.all_reach();
    let before = host.endpoints();
    let route = mesh.node_namespaces("a1").exec(&["ip", "-6", "route", "show", "default"]).unwrap();
    host.ip("route delete default");
    let route = route.trim().split(" expires").next().unwrap();
    host.ip(&format!("route add {route}"));
    mesh.all_reach();
    wait::until("the same endpoints", || Ok((host.endpoints() == before).then_some(()))).unwrap();
}
