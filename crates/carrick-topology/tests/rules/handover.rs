//! The plans of a handover: what goes encapsulated, and which tunnels are kept.

use std::collections::BTreeMap;
use std::net::IpAddr;

use carrick_topology::handover::Decapsulation;
use carrick_topology::handover::{HandoverPlan, HandoverRoute};
use carrick_topology::model::{Granularity, Settings};
use carrick_topology::plan::NodePlan;
use ipnet::IpNet;

use crate::fixtures::{Changed as _, Mesh, location, mesh, net, nets, node, outside};

/// Location `a`: while `a1` is down, `a2` carries in its place, `a3` is standby and carries for itself, `a4` is an inner node.
fn clouds() -> Mesh {
    mesh([node("a1"), node("a2"), node("a3"), node("a4"), node("b1"), node("b2"), node("b3")])
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn handovers(mesh: &Mesh) -> BTreeMap<String, HandoverPlan> {
    mesh.plans().into_iter().filter_map(|(name, plan)| Some((name, plan.handover?))).collect()
}

/// Before the moment of the return, and after it.
fn both_sides(mesh: &Mesh) -> [Mesh; 2] {
    [mesh.clone().down(&["a1"]).returning(&["a1"]), mesh.clone().returning(&["a1"])]
}

/// The handover of `a1` while `b1` decapsulates.
fn encapsulating(mesh: Mesh) -> HandoverPlan {
    mesh.decapsulating(&["b1"], Decapsulation::Proven).plan("a1").handover.unwrap()
}

fn route(plan: &HandoverPlan, destination: &str) -> HandoverRoute {
    let destination = net(destination);
    plan.routes.iter().find(|route| route.destination == destination).unwrap().clone()
}

fn tunnel_to<'p>(plan: &'p NodePlan, network: &IpNet) -> Option<&'p carrick_topology::plan::PeerIdentity> {
    plan.wireguard.peers.values().find(|peer| peer.allowed_ips.contains(network)).map(|peer| &peer.identity)
}

#[test]
fn far_gateways_accept_encapsulated_packets_from_the_new_carrier() {
    for mesh in both_sides(&clouds()) {
        let far = handovers(&mesh);
        assert_eq!(far.keys().collect::<Vec<_>>(), ["b1", "b2"], "active and standby gateways, and no other node");
        for plan in far.values() {
            let sender = &plan.senders["a1"];
            assert_eq!((plan.senders.len(), sender.address), (1, address("10.4.0.11")));
            let of_a4 = nets(&[
                "10.42.14.0/24",
                "fd42:0:0:14::/64",
                "10.4.0.14/32",
                "fdca:7272:6963:6b00::14/128",
                "192.168.1.4/32",
                "fd99:0:0:1::4/128",
            ]);
            assert!(sender.sources.is_superset(&of_a4));
            assert!(sender.sources.contains(&net("10.42.13.0/24")), "of the one that stood by");
            assert!(sender.sources.contains(&net("10.42.11.0/24")), "its own, which it encapsulates as well");
            assert!(!sender.sources.contains(&net("10.42.12.0/24")), "a2 goes on carrying for itself");
            assert_eq!((plan.routes.len(), plan.receivers.len()), (0, 0));
        }
        let firewall = mesh.plan("b1").firewall.handover;
        assert_eq!(firewall.senders, [address("10.4.0.11")].into());
        assert_eq!(firewall.sources, far["b1"].senders["a1"].sources);
    }
}

#[test]
fn without_a_handover_no_encapsulated_packet_is_accepted() {
    for mesh in [clouds(), clouds().down(&["a1"])] {
        assert_eq!(handovers(&mesh), BTreeMap::new());
        assert!(mesh.plans().values().all(|plan| plan.firewall.handover.senders.is_empty()));
    }
}

#[test]
fn packets_forwarded_to_a_gateway_that_decapsulates_go_encapsulated() {
    let plan = encapsulating(clouds());
    assert_eq!(plan.receivers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["b1"]);
    let receiver = &plan.receivers["b1"];
    assert_eq!(receiver.address, address("10.4.0.21"));
    for (destination, via) in [
        ("10.42.21.0/24", "10.4.0.21"),
        ("10.42.23.0/24", "10.4.0.21"),
        ("10.4.0.21/32", "10.4.0.21"),
        ("fd42:0:0:23::/64", "fdca:7272:6963:6b00::21"),
    ] {
        let route = route(&plan, destination);
        assert_eq!((route.via, route.mtu), (address(via), 1440));
    }
    assert!(plan.routes.iter().all(|route| route.destination != net("10.42.22.0/24")), "b2 has a tunnel of its own");
    assert!(plan.routes.iter().all(|route| route.destination != net("10.42.14.0/24")), "inside the location");
    assert!(plan.senders.is_empty());
    let firewall = clouds().decapsulating(&["b1"], Decapsulation::Proven).plan("a1").firewall;
    assert!(firewall.carried_by[&plan.device].contains(&net("10.42.23.0/24")));
    assert_eq!(firewall.mesh_devices.handover, plan.device);
}

#[test]
fn routes_and_tunnels_do_not_depend_on_which_gateways_decapsulate() {
    let (calm, encapsulating) =
        (clouds().plan("a1"), clouds().decapsulating(&["b1", "b2"], Decapsulation::Proven).plan("a1"));
    assert_eq!(
        (calm.routes, calm.wireguard, calm.vxlan),
        (encapsulating.routes, encapsulating.wireguard, encapsulating.vxlan)
    );
}

#[test]
fn when_a_standby_gateway_returns_the_traffic_of_its_substitute_moves_to_the_active_one() {
    let mesh = clouds().down(&["a2"]).returning(&["a2"]);
    for plan in handovers(&mesh).values() {
        assert_eq!(plan.senders.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["a1"]);
    }
}

#[test]
fn the_old_carrier_keeps_its_tunnels_and_sends_by_the_new_one() {
    // Only `a3` was left, and `a1` returns.
    let (before, after) = (clouds().down(&["a1", "a2"]).plan("a3"), clouds().down(&["a2"]).plan("a3"));
    let moment = clouds().down(&["a2"]).returning(&["a1"]).plan("a3");
    assert_eq!(moment.wireguard.peers, before.wireguard.peers);
    assert!(after.wireguard.peers.is_empty() && !before.wireguard.peers.is_empty());
    assert_eq!((&moment.routes, &moment.location), (&after.routes, &after.location));
    let far = net("10.42.21.0/24");
    assert!(tunnel_to(&moment, &far).is_some());
    // An inner node never had any.
    assert!(clouds().returning(&["a1"]).plan("a4").wireguard.peers.is_empty());
}

#[test]
fn in_cross_and_full_there_are_no_handovers() {
    for granularity in [Granularity::Cross, Granularity::Full] {
        for mesh in both_sides(&clouds().granularity(granularity)) {
            assert_eq!(handovers(&mesh), BTreeMap::new());
        }
    }
}

#[test]
fn the_networks_of_an_outside_peer_move_with_its_server() {
    let laptop = outside("laptop", 99, &["10.99.0.1/32"]).with(|peer| peer.location = location("a"));
    for mesh in both_sides(&clouds().peer(laptop)) {
        assert!(handovers(&mesh)["b1"].senders["a1"].sources.contains(&net("10.99.0.1/32")));
    }
}

#[test]
fn a_network_inside_an_encapsulated_one_with_another_hop_is_an_exception() {
    let wide = clouds()
        .set(|settings| settings.permitted_location_cidrs.extend(nets(&["198.51.0.0/16"])))
        .change("b3", |node| node.allowed_location_cidrs = nets(&["172.16.0.0/12", "198.51.0.0/16"]))
        .change("b2", |node| node.allowed_location_cidrs = nets(&["172.20.0.0/16"]))
        .change("b1", |node| node.endpoint = Some("198.51.2.1:51820".parse().unwrap()));
    let plan = encapsulating(wide.clone());
    assert_eq!(route(&plan, "172.16.0.0/12").via, address("10.4.0.21"));
    for excepted in ["172.20.0.0/16", "198.51.2.1/32"] {
        assert!(plan.exceptions.contains(&net(excepted)), "{excepted}: {:?}", plan.exceptions);
    }
    let both_ways =
        |plan: &HandoverPlan| plan.routes.iter().filter(|route| plan.exceptions.contains(&route.destination)).count();
    assert_eq!(both_ways(&plan), 0);

    let to_both = wide.decapsulating(&["b1", "b2"], Decapsulation::Proven).plan("a1").handover.unwrap();
    assert_eq!(route(&to_both, "172.20.0.0/16").via, address("10.4.0.22"), "another gateway decapsulates it");
    assert_eq!(both_ways(&to_both), 0);
}

#[test]
fn a_gateway_that_was_not_proven_to_decapsulate_gets_no_routes() {
    let mesh = clouds().decapsulating(&["b1"], Decapsulation::Offered);
    let plan = mesh.plan("a1");
    let handover = plan.handover.unwrap();
    assert_eq!(handover.receivers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["b1"]);
    assert!(handover.routes.is_empty());
    assert_eq!(plan.firewall.carried_by[&handover.device], nets(&["10.4.0.21/32"]), "for probes");
}

#[test]
fn without_ipv4_mesh_addresses_nothing_is_encapsulated() {
    let without_v4 = |name: &str| node(name).with(|node| node.mesh_addresses.retain(IpAddr::is_ipv6));
    let only_v6 = |settings: &mut Settings| settings.mesh_cidrs.retain(|cidr| cidr.addr().is_ipv6());
    let mesh = mesh(["a1", "a2", "a3", "b1", "b2"].map(without_v4)).set(only_v6);
    assert_eq!(handovers(&mesh.clone().down(&["a1"]).returning(&["a1"])), BTreeMap::new());
    assert_eq!(handovers(&mesh.decapsulating(&["b1"], Decapsulation::Proven)), BTreeMap::new());
}
