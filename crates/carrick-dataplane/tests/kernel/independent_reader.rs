//! What the dataplane writes, read back by code that is not Carrick's (`carrick-kernel-reader`).

use std::collections::BTreeSet;

use carrick_dataplane::HandoverDataplane;
use carrick_dataplane::firewall::Firewall;
use carrick_kernel_reader::{Forwarding, Neighbour, Reader, Route, Rule, Vxlan, nftables, wireguard};
use carrick_topology::constants::{
    FIREWALL_MARK, HANDOVER_DEVICE, HANDOVER_TABLE, MAIN_TABLE, OWN_PODS_RULE_PRIORITY, ROUTE_PROTOCOL, ROUTING_TABLE,
    RULE_PRIORITY, UNREACHABLE_METRIC, VXLAN_DEVICE, VXLAN_IDENTIFIER, VXLAN_PORT, WIREGUARD_DEVICE, WIREGUARD_PORT,
};
use carrick_topology::plan::{FirewallPlan, NextHop, NodePlan};
use ipnet::IpNet;

use crate::kernel_wireguard::on_kernel_node;
use crate::node::on_node;
use crate::plans;

fn expected_routes(plan: &NodePlan, reader: &Reader) -> Vec<Route> {
    let device = |name| Some(reader.link(name).index);
    let expected = |route: &carrick_topology::plan::Route| {
        let blank = Route {
            destination: route.destination,
            table: ROUTING_TABLE,
            protocol: ROUTE_PROTOCOL,
            kind: "unicast".to_owned(),
            metric: 100,
            device: None,
            gateway: None,
            onlink: false,
            source: route.source,
            mtu: route.mtu,
            mtu_is_locked: false,
        };
        match &route.next_hop {
            NextHop::WireGuard => Route { device: device(WIREGUARD_DEVICE), ..blank },
            NextHop::Vxlan { via } => {
                Route { device: device(VXLAN_DEVICE), gateway: Some(*via), onlink: true, ..blank }
            }
            NextHop::Unreachable => Route {
                kind: "unreachable".to_owned(),
                metric: UNREACHABLE_METRIC,
                // The kernel shows the loopback device for routes of IPv6 without one.
                device: route.destination.addr().is_ipv6().then_some(1),
                ..blank
            },
            other => panic!("the plan of this test has no {other:?}"),
        }
    };
    let mut routes: Vec<Route> = plan.routes.iter().map(expected).collect();
    routes.sort();
    routes
}

/// The kernel gives each Ethernet device such an address by itself.
fn is_link_local(address: &IpNet) -> bool {
    matches!(address, IpNet::V6(address) if address.addr().is_unicast_link_local())
}

fn assert_network_is_as_planned(plan: &NodePlan) {
    let reader = Reader::open();
    let (wireguard, vxlan) = (reader.link(WIREGUARD_DEVICE), reader.link(VXLAN_DEVICE));
    let addresses: BTreeSet<IpNet> = plan.mesh_addresses.iter().copied().map(IpNet::from).collect();
    for (link, mtu) in [(&wireguard, plan.wireguard.mtu), (&vxlan, plan.vxlan.mtu)] {
        let own = link.addresses.iter().copied().filter(|address| !is_link_local(address)).collect();
        assert_eq!((link.up, link.mtu, &addresses), (true, mtu, &own));
    }
    assert_eq!((vxlan.kind.as_str(), vxlan.mac.as_str()), ("vxlan", plan.vxlan.mac.to_string().as_str()));
    let settings = Vxlan { identifier: VXLAN_IDENTIFIER, port: VXLAN_PORT, local: plan.vxlan.local, learning: false };
    assert_eq!(vxlan.vxlan, Some(settings));

    assert_eq!(reader.routes(ROUTING_TABLE), expected_routes(plan, &reader));

    let rule = |is_ipv6| Rule {
        is_ipv6,
        priority: RULE_PRIORITY,
        table: ROUTING_TABLE,
        protocol: ROUTE_PROTOCOL,
        mark: Some((FIREWALL_MARK, FIREWALL_MARK)),
        invert: true,
        ..Rule::default()
    };
    let to_own_pods = |cidr: &IpNet| Rule {
        is_ipv6: cidr.addr().is_ipv6(),
        priority: OWN_PODS_RULE_PRIORITY,
        table: MAIN_TABLE,
        protocol: ROUTE_PROTOCOL,
        destination: Some((cidr.network(), cidr.prefix_len())),
        suppressed: Some(u32::from(cidr.prefix_len()) - 1),
        ..Rule::default()
    };
    let own: Vec<Rule> = reader.rules().into_iter().filter(|rule| rule.protocol == ROUTE_PROTOCOL).collect();
    let planned: Vec<Rule> =
        plan.pod_cidrs.iter().map(to_own_pods).chain([false, true].into_iter().map(rule)).collect();
    assert_eq!(own, planned);

    let far = plan.vxlan.neighbours.values();
    let mut neighbours: Vec<Neighbour> = far
        .clone()
        .flat_map(|far| {
            let of = |address| Neighbour { address, mac: far.mac.to_string(), permanent: true };
            far.mesh_addresses.iter().copied().map(of)
        })
        .collect();
    neighbours.sort();
    // The kernel resolves multicast addresses by itself.
    let permanent: Vec<Neighbour> =
        reader.neighbours(vxlan.index).into_iter().filter(|neighbour| neighbour.permanent).collect();
    assert_eq!(permanent, neighbours);
    let mut forwarding: Vec<Forwarding> = far
        .map(|far| Forwarding { mac: far.mac.to_string(), destination: far.internal_address, permanent: true })
        .collect();
    forwarding.sort();
    assert_eq!(reader.forwarding(vxlan.index), forwarding);
}

#[test]
fn a_plan_reads_as_planned_by_other_programs_code() {
    on_node(|node| {
        let mut plan = plans::mesh(40, 4);
        plan.routes.iter_mut().filter(|route| route.next_hop == NextHop::WireGuard).step_by(3).for_each(|route| {
            route.mtu = Some(1300);
        });
        node.reach(&plan);
        assert_network_is_as_planned(&plan);

        // Fewer nodes, other gateways: what goes is gone for other programs too.
        let smaller = plans::mesh(20, 2);
        node.reach(&smaller);
        assert_network_is_as_planned(&smaller);
    });
}

#[test]
fn a_handover_reads_as_planned_by_other_programs_code() {
    on_node(|node| {
        let plan = NodePlan { handover: Some(plans::handover()), ..plans::mesh(4, 2) };
        node.reach(&plan);
        let mut handover = HandoverDataplane::open().unwrap();
        handover.apply(&plan).unwrap();
        let reader = Reader::open();
        let device = reader.link(HANDOVER_DEVICE);
        let wanted = plans::handover();
        assert_eq!((device.up, device.mtu, device.kind.as_str()), (true, wanted.mtu, "vxlan"));
        let read: BTreeSet<_> = reader
            .routes(HANDOVER_TABLE)
            .into_iter()
            .map(|route| (route.destination, route.gateway, route.onlink, route.mtu, route.mtu_is_locked, route.device))
            .collect();
        let of = |route: &carrick_topology::handover::HandoverRoute| {
            (route.destination, Some(route.via), true, Some(route.mtu), true, Some(device.index))
        };
        assert_eq!(read, wanted.routes.iter().map(of).collect());

        handover.apply(&plans::mesh(4, 2)).unwrap();
        assert!(!reader.links().contains_key(HANDOVER_DEVICE));
        assert_eq!(reader.routes(HANDOVER_TABLE), []);
    });
}

#[test]
fn the_firewall_reads_as_planned_by_nft() {
    on_node(|_| {
        let nets = |texts: &[&str]| texts.iter().map(|text| plans::net(text)).collect::<BTreeSet<_>>();
        let carried = nets(&["10.42.0.0/24", "10.42.1.0/24", "10.4.0.7/32", "fd42:1::/64"]);
        let plan = FirewallPlan {
            vxlan_port: VXLAN_PORT,
            vxlan_sources: [plans::ip("10.0.0.2"), plans::ip("fd00::2")].into(),
            carried: carried.clone(),
            carried_by: [(WIREGUARD_DEVICE.parse().unwrap(), carried)].into(),
            firewall_mark: FIREWALL_MARK,
            ..FirewallPlan::default()
        };
        Firewall::open().unwrap().apply(&plan).unwrap();
        let table = nftables::table("inet carrick").unwrap();
        let chains: Vec<&str> = table.chains.keys().map(String::as_str).collect();
        assert_eq!(
            chains,
            [
                "container-sources",
                "decapsulate",
                "forward",
                "input",
                "leak-guard",
                "mesh-ports",
                "path-mtu",
                "source-check",
                "translate",
                "translated",
                "untracked",
                "untracked-output"
            ]
        );
        assert_eq!(table.sets["mesh_devices"], [HANDOVER_DEVICE, VXLAN_DEVICE, WIREGUARD_DEVICE]);
        let exempted = |rule: &serde_json::Value| rule.as_array().unwrap().last().unwrap().get("notrack").is_some();
        let exempted = |chain: &str| table.chains[chain].iter().filter(|rule| exempted(rule)).count();
        assert_eq!((exempted("untracked"), exempted("untracked-output")), (6, 4));
        assert_eq!(table.sets["vxlan_sources4"], ["10.0.0.2"]);
        assert_eq!(table.sets["vxlan_sources6"], ["fd00::2"]);
        // Neighbouring networks are one interval.
        assert_eq!(table.sets["carried4"], ["10.4.0.7", "10.42.0.0/23"]);
        assert_eq!(table.sets["carried6"], ["fd42:1::/64"]);
        let drops = |chain: &str| {
            let is_drop = |rule: &&serde_json::Value| rule.as_array().unwrap().last().unwrap().get("drop").is_some();
            table.chains[chain].iter().filter(is_drop).count()
        };
        assert!(drops("leak-guard") >= 1 && drops("input") >= 2, "{:?}", table.chains);
    });
}

#[test]
#[ignore = "needs a kernel with WireGuard: scripts/test-vm.sh"]
fn wireguard_in_the_kernel_reads_as_planned_by_other_programs_code() {
    on_kernel_node(|node| {
        let plan = plans::mesh(40, 4);
        node.reach(&plan);
        let device = wireguard::kernel_device(WIREGUARD_DEVICE);
        assert_eq!((device.port, device.firewall_mark), (Some(WIREGUARD_PORT), Some(FIREWALL_MARK)));
        assert_eq!(device.peers.len(), plan.wireguard.peers.len());
        for (key, planned) in &plan.wireguard.peers {
            let peer = &device.peers[key.as_bytes()];
            assert_eq!(peer.endpoint, planned.endpoint);
            assert_eq!(peer.persistent_keepalive, planned.persistent_keepalive);
            assert_eq!(peer.allowed_ips, planned.allowed_ips.iter().copied().collect::<Vec<_>>());
        }
    });
}
