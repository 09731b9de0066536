//! [`Dataplane::apply`]: the firewall goes first, permits the old and the new devices while routes change, and no more afterwards.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use carrick_dataplane::wireguard::{UserspaceWireGuard, WireGuard, WireGuardError};
use carrick_dataplane::{Applied, ApplyFailure, Dataplane, Sysctls, WireGuardMaker};
use carrick_netlink::wireguard::{Device, DeviceChange};
use carrick_topology::constants::{VXLAN_DEVICE, WIREGUARD_DEVICE};
use carrick_topology::handover::HandoverInForce;
use carrick_topology::model::Family;
use carrick_topology::plan::{FirewallPlan, NextHop, NodePlan, Route, Scope};
use ipnet::IpNet;

use crate::node::{Node, on_node, run};
use crate::plans;

const DESTINATION: &str = "10.42.7.0/24";

/// WireGuard in a process, which notes what the firewall permits at the moment in which the peers change.
#[derive(Debug)]
struct NotingWireGuard {
    inner: UserspaceWireGuard,
    permitted: Arc<Mutex<Vec<[bool; 2]>>>,
}

impl WireGuard for NotingWireGuard {
    fn maker(&self) -> WireGuardMaker {
        self.inner.maker()
    }

    fn get(&mut self, device: &str) -> Result<Device, WireGuardError> {
        self.inner.get(device)
    }

    fn set(&mut self, device: &str, changes: &[DeviceChange]) -> Vec<Result<(), WireGuardError>> {
        self.permitted.lock().unwrap().push(permitted_devices());
        self.inner.set(device, changes)
    }

    fn writes(&self) -> u64 {
        self.inner.writes()
    }
}

/// Whether packets to the destination may leave by the WireGuard device, and by the VXLAN device.
fn permitted_devices() -> [bool; 2] {
    [WIREGUARD_DEVICE, VXLAN_DEVICE]
        .map(|device| run(&format!("nft list set inet carrick carried_by_{device}_4")).contains(DESTINATION))
}

fn open(folder: &Path) -> (Dataplane, Arc<Mutex<Vec<[bool; 2]>>>) {
    let permitted = Arc::default();
    let wireguard = NotingWireGuard { inner: UserspaceWireGuard::below(folder), permitted: Arc::clone(&permitted) };
    (Dataplane::open(Box::new(wireguard), Sysctls::default(), folder.to_owned()).unwrap(), permitted)
}

fn apply(dataplane: &mut Dataplane, node: &Node, plan: &NodePlan, scope: Scope) -> Applied {
    dataplane.apply(plan, &node.keys, scope, SystemTime::now())
}

/// A plan that reaches the destination by one device.
fn through(device: &str, next_hop: NextHop) -> NodePlan {
    let destination: IpNet = DESTINATION.parse().unwrap();
    let mut plan = plans::mesh(1, 1);
    plan.routes.push(Route { destination, next_hop, source: None, mtu: None });
    plan.firewall = FirewallPlan {
        carried: [destination].into(),
        carried_by: [(device.parse().unwrap(), [destination].into())].into(),
        ..FirewallPlan::default()
    };
    plan
}

fn by_vxlan() -> NodePlan {
    let via: IpAddr = plans::mesh_address(0, Family::V4);
    through(VXLAN_DEVICE, NextHop::Vxlan { via })
}

fn by_wireguard() -> NodePlan {
    let mut plan = through(WIREGUARD_DEVICE, NextHop::WireGuard);
    plan.wireguard.peers.insert(plans::key(1), plans::peer(1));
    plan
}

#[test]
fn the_firewall_permits_the_old_and_the_new_device_while_a_destination_moves() {
    on_node(|node| {
        let (mut dataplane, permitted) = open(node.folder.path());
        let applied = apply(&mut dataplane, node, &by_vxlan(), Scope::Everything);
        assert!(applied.failures.is_empty(), "{:?}", applied.failures);
        assert_eq!(permitted.lock().unwrap().pop(), Some([false, true]), "the firewall is there before the first peer");

        let applied = apply(&mut dataplane, node, &by_wireguard(), Scope::Change);
        assert!(applied.failures.is_empty(), "{:?}", applied.failures);
        assert_eq!(permitted.lock().unwrap().pop(), Some([true, true]), "while the routes change");
        assert_eq!(permitted_devices(), [true, false], "after the routes have changed");
    });
}

#[test]
fn an_unchanged_plan_is_applied_without_a_write_in_every_scope() {
    on_node(|node| {
        let (mut dataplane, _) = open(node.folder.path());
        apply(&mut dataplane, node, &by_wireguard(), Scope::Everything);
        let writes = dataplane.writes();
        for scope in [Scope::WireGuard, Scope::Change, Scope::Everything] {
            let applied = apply(&mut dataplane, node, &by_wireguard(), scope);
            assert_eq!((applied.operations, applied.failures.len()), (0, 0), "{scope:?}");
            assert_eq!(dataplane.writes(), writes, "{scope:?}");
        }
    });
}

#[test]
fn what_is_in_force_of_a_handover_is_reported_by_every_apply_until_the_handover_is_over_or_fails() {
    on_node(|node| {
        let (mut dataplane, _) = open(node.folder.path());
        let mut plan = NodePlan { handover: Some(plans::handover()), ..by_wireguard() };
        let in_force = plan.handover.as_ref().map(HandoverInForce::after).unwrap();
        assert_ne!(in_force, HandoverInForce::default());
        for scope in [Scope::Everything, Scope::WireGuard, Scope::Change] {
            assert_eq!(apply(&mut dataplane, node, &plan, scope).handover, in_force, "{scope:?}");
        }
        // A multicast address is no next hop.
        plan.handover.as_mut().unwrap().routes[0].via = plans::ip("224.0.0.1");
        let applied = apply(&mut dataplane, node, &plan, Scope::Change);
        assert!(matches!(applied.failures.as_slice(), [ApplyFailure::Handover(_)]), "{:?}", applied.failures);
        assert_eq!(applied.handover, HandoverInForce::default());
        assert_eq!(apply(&mut dataplane, node, &by_wireguard(), Scope::Change).handover, HandoverInForce::default());
    });
}

#[test]
fn a_poll_of_wireguard_repairs_what_it_finds() {
    on_node(|node| {
        let (mut dataplane, _) = open(node.folder.path());
        apply(&mut dataplane, node, &by_wireguard(), Scope::Everything);
        node.wireguard.state().device.peers.clear();
        let applied = apply(&mut dataplane, node, &by_wireguard(), Scope::WireGuard);
        assert!(applied.operations > 0 && applied.failures.is_empty(), "{:?}", applied.failures);
        assert_eq!(node.wireguard.state().device.peers.len(), by_wireguard().wireguard.peers.len());
    });
}

#[test]
fn a_refused_peer_stops_neither_routes_nor_the_firewall() {
    on_node(|node| {
        let (mut dataplane, _) = open(node.folder.path());
        let plan = by_wireguard();
        node.wireguard.state().refused = Some(plans::key(1));
        let applied = apply(&mut dataplane, node, &plan, Scope::Everything);
        assert!(
            matches!(applied.failures.as_slice(), [ApplyFailure::Operation(failure)] if failure.to_string().contains("peer")),
            "{:?}",
            applied.failures
        );
        assert!(run("ip route show table 1107").contains(DESTINATION));
        assert_eq!(permitted_devices(), [true, false]);
        node.wireguard.state().refused = None;
        let applied = apply(&mut dataplane, node, &plan, Scope::Everything);
        assert_eq!((applied.operations, applied.failures.len()), (1, 0), "only the peer was missing");
    });
}
