//! The comparison against a model of the kernel: whatever is there, one pass reaches the plan, never breaks before it
//! makes, and leaves nothing for a second pass.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod endpoints;
mod model;
#[path = "../kernel/plans.rs"]
#[expect(dead_code, reason = "shared with the tests that need all of it")]
mod plans;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use carrick_dataplane::observed::Observed;
use carrick_dataplane::{Circumstances, Desired, WireGuardMaker, diff};
use carrick_topology::model::{DeviceName, Family, mac_of_node};
use carrick_topology::plan::{NextHop, NodePlan, Route, VxlanNeighbour};
use model::{allowed_ips, apply, destinations, untouched};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

/// A plan over a small universe, so that two plans share much and differ in some.
fn any_plan() -> impl Strategy<Value = NodePlan> {
    let peers = btree_map(0..5u32, (0..3u32, prop_oneof![Just(None), (10..12u16).prop_map(Some)]), 0..4);
    let holders = vec(0..6u32, 8);
    let routes = btree_map(0..10u32, (0..5u32, 0..2u32, prop_oneof![Just(None), Just(Some(1300))]), 0..8);
    let neighbours = btree_map(0..5u32, 0..3u32, 0..4);
    let families = prop_oneof![Just(vec![Family::V4]), Just(vec![Family::V6]), Just(Family::BOTH.to_vec())];
    (peers, holders, routes, neighbours, families, 0..2u32, 0..2u32).prop_map(
        |(peers, holders, routes, neighbours, families, variant, vxlan)| {
            let mut plan = plans::alone();
            plan.rules = families.iter().copied().collect();
            plan.mesh_addresses = families.iter().map(|family| plans::mesh_address(900 + variant, *family)).collect();
            plan.wireguard.mtu = 1400 + variant;
            plan.vxlan.mtu = 1450 - variant;
            plan.vxlan.mac = mac_of_node(&plans::name(&format!("me-{variant}")));
            plan.vxlan.underlay = if vxlan == 0 { Family::V4 } else { Family::V6 };
            for (number, (endpoint, keepalive)) in peers {
                let mut peer = plans::peer(number);
                peer.endpoint = (endpoint > 0).then(|| (Ipv4Addr::from(0xc000_0200 + endpoint), 51820).into());
                peer.persistent_keepalive = keepalive;
                plan.wireguard.peers.insert(plans::key(number), peer);
            }
            for (number, holder) in holders.into_iter().enumerate() {
                if let Some(peer) = plan.wireguard.peers.get_mut(&plans::key(holder)) {
                    peer.allowed_ips.insert(plans::pod_cidr(number as u32, Family::V4));
                }
            }
            plan.routes = routes.into_iter().map(|(number, choice)| route(&plan, &families, number, choice)).collect();
            for (number, end) in neighbours {
                let node = plans::name(&format!("node-{number}"));
                let neighbour = VxlanNeighbour {
                    mac: mac_of_node(&node),
                    internal_address: Ipv4Addr::from(0x0a00_0000 + end).into(),
                    mesh_addresses: families.iter().map(|family| plans::mesh_address(number, *family)).collect(),
                };
                plan.vxlan.neighbours.insert(node, neighbour);
            }
            plan
        },
    )
}

fn route(plan: &NodePlan, families: &[Family], number: u32, (hop, source, mtu): (u32, u32, Option<u32>)) -> Route {
    let family = families[number as usize % families.len()];
    let next_hop = match hop {
        0 => NextHop::WireGuard,
        1 => NextHop::Vxlan { via: plans::mesh_address(number, family) },
        2 => NextHop::Direct { via: plans::mesh_address(number + 500, family), device: "eth0".parse().unwrap() },
        3 => NextHop::Unreachable,
        _ => NextHop::Throw,
    };
    let source = plan.mesh_addresses.iter().copied().find(|address| Family::of(address) == family && source == 1);
    Route { destination: plans::pod_cidr(number, family), next_hop, source, mtu }
}

/// What other programs may do to the kernel between two reconciliations.
#[derive(Debug, Clone)]
enum Mishap {
    DeleteWireGuard,
    DeleteVxlan,
    SetDown,
    LosePeers,
    LoseRoute(usize),
    LoseAddresses,
    LoseNeighbours,
    LoseRules,
    SwitchForwardingOff,
}

fn any_mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        Just(Mishap::DeleteWireGuard),
        Just(Mishap::DeleteVxlan),
        Just(Mishap::SetDown),
        Just(Mishap::LosePeers),
        (0..8usize).prop_map(Mishap::LoseRoute),
        Just(Mishap::LoseAddresses),
        Just(Mishap::LoseNeighbours),
        Just(Mishap::LoseRules),
        Just(Mishap::SwitchForwardingOff),
    ]
}

fn happen(state: &mut Observed, mishap: &Mishap) {
    let device = |name: &str| -> DeviceName { name.parse().unwrap() };
    match mishap {
        Mishap::DeleteWireGuard if state.wireguard.is_some() => model::delete(state, &device("carrick0")),
        Mishap::DeleteVxlan if state.vxlan.is_some() => model::delete(state, &device("carrick-vx")),
        Mishap::DeleteWireGuard | Mishap::DeleteVxlan => {}
        Mishap::SetDown => {
            if let Some(vxlan) = &mut state.vxlan {
                vxlan.device.up = false;
                Arc::make_mut(&mut state.routes).retain(|route| route.device() != Some(&device("carrick-vx")));
            }
        }
        Mishap::LosePeers => {
            state.wireguard.iter_mut().filter_map(|w| w.configuration.as_mut()).for_each(|c| c.peers.clear());
        }
        Mishap::LoseRoute(number) if *number < state.routes.len() => {
            Arc::make_mut(&mut state.routes).remove(*number);
        }
        Mishap::LoseRoute(_) => {}
        Mishap::LoseAddresses => state.wireguard.iter_mut().for_each(|w| w.device.addresses.clear()),
        Mishap::LoseNeighbours => state.vxlan.iter_mut().for_each(|vxlan| {
            vxlan.neighbours.clear();
            vxlan.forwarding.clear();
        }),
        Mishap::LoseRules => state.rules.clear(),
        Mishap::SwitchForwardingOff => {
            state.sysctls.insert("ipv6/conf/all/forwarding".to_owned(), 0);
        }
    }
}

fn desired(plan: &NodePlan) -> Desired {
    Desired::new(plan, &plans::keys(), WireGuardMaker::Kernel)
}

/// Applies one pass; checks that nothing that is wanted before and after is missing in between.
fn reach(state: &mut Observed, plan: &NodePlan) {
    let memory = BTreeMap::new();
    let circumstances = Circumstances { now: NOW, written_endpoints: &memory, seen_endpoints: &memory };
    let operations = diff(&desired(plan), state, &circumstances).operations;

    let mut target = state.clone();
    operations.iter().for_each(|operation| apply(&mut target, operation));
    let lasting_networks = &allowed_ips(state) & &allowed_ips(&target);
    let lasting_routes = &destinations(state) & &destinations(&target);
    let replaces_a_device =
        operations.iter().any(|operation| matches!(operation, carrick_dataplane::Operation::DeleteDevice(_)));
    for operation in &operations {
        apply(state, operation);
        assert!(lasting_networks.is_subset(&allowed_ips(state)), "{operation} takes an allowed IP from all peers");
        if !replaces_a_device {
            assert!(lasting_routes.is_subset(&destinations(state)), "{operation} leaves a destination without route");
        }
    }
    assert_eq!(*state, target);
    let again = diff(&desired(plan), state, &circumstances);
    assert_eq!(again.operations, [], "a second pass finds work");
}

proptest! {
    #[test]
    fn one_pass_reaches_the_plan(
        first in any_plan(),
        second in any_plan(),
        mishaps in vec(any_mishap(), 0..4),
    ) {
        let mut state = untouched();
        reach(&mut state, &first);
        reach(&mut state, &second);
        mishaps.iter().for_each(|mishap| happen(&mut state, mishap));
        reach(&mut state, &second);
        mishaps.iter().for_each(|mishap| happen(&mut state, mishap));
        reach(&mut state, &first);
    }

    #[test]
    fn peers_that_stay_the_same_are_not_touched(plan in any_plan(), added in any_plan()) {
        let mut state = untouched();
        reach(&mut state, &plan);
        let mut more = plan.clone();
        for (key, peer) in added.wireguard.peers {
            let mut peer = peer;
            peer.allowed_ips.clear();
            more.wireguard.peers.entry(key).or_insert(peer);
        }
        let memory = BTreeMap::new();
        let circumstances = Circumstances { now: NOW + Duration::from_secs(1000), written_endpoints: &memory, seen_endpoints: &memory };
        for operation in diff(&desired(&more), &state, &circumstances).operations {
            let carrick_dataplane::Operation::SetPeer(change) = operation else { panic!("{operation}") };
            let unchanged = plan.wireguard.peers.contains_key(&change.public_key);
            prop_assert!(!unchanged, "{change:?}");
        }
    }
}
