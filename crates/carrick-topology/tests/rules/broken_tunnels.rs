//! What a gateway's plan sends through another gateway because one of its tunnels is broken.

use carrick_topology::model::Granularity;
use carrick_topology::plan::{NextHop, NodePlan, PathKind};

use crate::fixtures::*;

/// `a1` does not reach `b1`.
fn broken() -> Mesh {
    let mut mesh = mesh(["a1", "a2", "a3", "b1", "b2", "b3"].map(node)).down(&["b1"]);
    mesh.liveness.bypassed = ["b1".parse().unwrap()].into();
    mesh
}

#[test]
fn the_other_gateway_of_the_location_carries_all_but_the_mesh_addresses_of_the_gateway_itself() {
    let plan = broken().plan("a1");
    assert_eq!(tunnel(&plan, "b1").unwrap().allowed_ips, nets(&["10.4.0.21/32", "fdca:7272:6963:6b00::21/128"]));
    let through = &tunnel(&plan, "b2").unwrap().allowed_ips;
    for net in ["10.42.21.0/24", "fd42:0:0:21::/64", "192.168.2.1/32", "10.42.22.0/24", "10.42.23.0/24", "10.4.0.23/32"]
    {
        assert!(through.contains(&self::net(net)), "{net}: {through:?}");
    }
    let probed = &plan.probes.targets["b1"];
    assert_eq!(probed.to, "10.4.0.21".parse::<std::net::IpAddr>().unwrap(), "its own tunnel is probed");
}

#[test]
fn a_gateway_that_is_down_for_all_nodes_keeps_its_own_networks() {
    let plan = broken().with(|mesh| mesh.liveness.bypassed.clear()).plan("a1");
    assert!(tunnel(&plan, "b1").unwrap().allowed_ips.contains(&net("10.42.21.0/24")), "{plan:?}");
}

#[test]
fn nothing_goes_through_a_location_that_has_no_other_gateway_with_a_working_tunnel() {
    let mesh = broken().down(&["b1", "b2"]).with(|mesh| {
        mesh.liveness.bypassed = ["b1", "b2"].map(|name| name.parse().unwrap()).into();
        mesh.cluster.nodes.remove("b3");
    });
    let plan = mesh.plan("a1");
    for (gateway, pods) in [("b1", "10.42.21.0/24"), ("b2", "10.42.22.0/24")] {
        assert!(tunnel(&plan, gateway).unwrap().allowed_ips.contains(&net(pods)), "{gateway}");
    }
}

#[test]
fn where_all_nodes_have_tunnels_to_each_other_a_node_accepts_the_networks_of_others_from_themselves_only() {
    let plan = broken().granularity(Granularity::Full).plan("a1");
    assert!(tunnel(&plan, "b1").unwrap().allowed_ips.contains(&net("10.42.21.0/24")), "{plan:?}");
    let plan = broken().granularity(Granularity::Cross).plan("a1");
    assert!(tunnel(&plan, "b2").unwrap().allowed_ips.contains(&net("10.42.21.0/24")), "{plan:?}");
}

/// `a1` reaches no gateway of `b`, and sends through this one.
fn detour(through: &str) -> NodePlan {
    let mut mesh = mesh(["a1", "a2", "a3", "b1", "b2", "c1"].map(node));
    mesh.liveness.detours = [("b".parse().unwrap(), through.parse().unwrap())].into();
    mesh.plan("a1")
}

#[test]
fn a_detour_leads_through_a_gateway_of_the_own_location_or_of_a_third_one() {
    let plan = detour("a2");
    for net in ["10.42.21.0/24", "10.42.22.0/24"] {
        assert_eq!(next_hop(&plan, net), Some(&vxlan("10.4.0.12")), "{net}");
    }
    let plan = detour("c1");
    for net in ["10.42.21.0/24", "10.42.22.0/24"] {
        assert_eq!(next_hop(&plan, net), Some(&NextHop::WireGuard), "{net}");
        assert!(tunnel(&plan, "c1").unwrap().allowed_ips.contains(&self::net(net)), "{net}");
    }
    for through in ["a2", "c1"] {
        let plan = detour(through);
        assert_eq!(next_hop(&plan, "10.4.0.21/32"), Some(&NextHop::WireGuard), "the tunnel itself is probed");
        let own = &tunnel(&plan, "b1").unwrap().allowed_ips;
        assert_eq!(*own, nets(&["10.4.0.21/32", "fdca:7272:6963:6b00::21/128"]), "{through}");
        assert_eq!(plan.probes.targets["b1"].kind, PathKind::Tunnel, "{through}");
    }
}

#[test]
fn a_detour_through_a_node_that_is_no_gateway_or_in_the_location_itself_is_ignored() {
    for through in ["a3", "b2", "a1", "unknown"] {
        let plan = detour(through);
        assert!(tunnel(&plan, "b1").unwrap().allowed_ips.contains(&net("10.42.21.0/24")), "{through}: {plan:?}");
    }
}
