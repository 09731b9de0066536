//! Plans to be put into the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carrick_dataplane::Keys;
use carrick_netlink::wireguard::SecretKey;
use carrick_topology::constants::{
    FIREWALL_MARK, HANDOVER_DEVICE, HANDOVER_IDENTIFIER, HANDOVER_PORT, VXLAN_DEVICE, VXLAN_IDENTIFIER, VXLAN_PORT,
    WIREGUARD_DEVICE, WIREGUARD_PORT,
};
use carrick_topology::handover::{HandoverPlan, HandoverReceiver, HandoverRoute, HandoverSender};
use carrick_topology::model::{Family, LocationName, NodeName, PublicKey, mac_of_node};
use carrick_topology::plan::{
    FirewallPlan, LocationSummary, NextHop, NodePlan, PeerIdentity, ProbePlan, Role, Route, VxlanNeighbour, VxlanPlan,
    WireGuardPeer, WireGuardPlan,
};
use ipnet::IpNet;

/// A plan with the two devices and their addresses, and nothing behind them.
pub fn alone() -> NodePlan {
    NodePlan {
        node: name("me"),
        location: LocationSummary {
            name: LocationName::shared_default(),
            alone: false,
            role: Role::Active,
            gateway: Some(name("me")),
            active: [name("me")].into(),
            standby: BTreeSet::new(),
            down: BTreeSet::new(),
            drained: BTreeSet::new(),
        },
        mesh_addresses: [ip("10.4.0.1"), ip("fdca:7272:6963:6b00::1")].into(),
        pod_cidrs: [net("10.42.0.0/24"), net("fd42::/64")].into(),
        pod_mtu: 1370,
        wireguard: WireGuardPlan {
            device: WIREGUARD_DEVICE.parse().unwrap(),
            port: WIREGUARD_PORT,
            firewall_mark: FIREWALL_MARK,
            mtu: 1420,
            peers: BTreeMap::new(),
        },
        vxlan: VxlanPlan {
            device: VXLAN_DEVICE.parse().unwrap(),
            identifier: VXLAN_IDENTIFIER,
            port: VXLAN_PORT,
            underlay: Family::V4,
            local: Some(ip("10.0.0.1")),
            mac: mac_of_node(&name("me")),
            mtu: 1450,
            neighbours: BTreeMap::new(),
        },
        handover: None,
        routes: Vec::new(),
        rules: Family::BOTH.into(),
        firewall: FirewallPlan::default(),
        probes: ProbePlan::default(),
        location_routes: Vec::new(),
        outside_mesh: BTreeSet::new(),
        warnings: BTreeSet::new(),
    }
}

/// A plan for a mesh of `nodes` other nodes: `gateways` of them are peers, which stand for the nodes that are not
/// in this node's location; every tenth node is. Each node has a pod CIDR and a mesh address of each family, behind
/// an `unreachable` route.
pub fn mesh(nodes: u32, gateways: u32) -> NodePlan {
    let mut plan = alone();
    for number in 0..nodes {
        let node = name(&format!("node-{number}"));
        let next_hop = |family| {
            if number % 10 == 0 { NextHop::Vxlan { via: mesh_address(number, family) } } else { NextHop::WireGuard }
        };
        for family in Family::BOTH {
            for destination in [pod_cidr(number, family), mesh_address(number, family).into()] {
                let source = plan.mesh_addresses.iter().copied().find(|address| Family::of(address) == family);
                let route = Route { destination, next_hop: next_hop(family), source, mtu: None };
                plan.routes.push(Route { next_hop: NextHop::Unreachable, source: None, ..route.clone() });
                plan.routes.push(route);
            }
        }
        if number % 10 == 0 {
            let neighbour = VxlanNeighbour {
                mac: mac_of_node(&node),
                internal_address: (Ipv4Addr::from(0x0a00_0000 + number + 2)).into(),
                mesh_addresses: Family::BOTH.map(|family| mesh_address(number, family)).into(),
            };
            plan.vxlan.neighbours.insert(node, neighbour);
        } else {
            let peer = plan.wireguard.peers.entry(key(number % gateways)).or_insert_with(|| peer(number % gateways));
            for family in Family::BOTH {
                peer.allowed_ips.extend([pod_cidr(number, family), mesh_address(number, family).into()]);
            }
        }
    }
    plan
}

/// What goes encapsulated to one gateway, and comes encapsulated from it.
pub fn handover() -> HandoverPlan {
    let route = |destination: &str, via: &str| HandoverRoute { destination: net(destination), via: ip(via), mtu: 1420 };
    let receiver = HandoverReceiver {
        mac: mac_of_node(&name("far")),
        address: ip("10.4.0.2"),
        next_hops: [ip("10.4.0.2"), ip("fdca::2")].into(),
    };
    HandoverPlan {
        device: HANDOVER_DEVICE.parse().unwrap(),
        identifier: HANDOVER_IDENTIFIER,
        port: HANDOVER_PORT,
        mac: mac_of_node(&name("me")),
        mtu: 1420,
        receivers: [(name("far"), receiver)].into(),
        senders: [(name("far"), sender("10.4.0.2"))].into(),
        routes: vec![
            route("10.42.2.0/24", "10.4.0.2"),
            route("10.42.3.0/24", "10.4.0.2"),
            route("fd42:2::/64", "fdca::2"),
        ],
        exceptions: BTreeSet::new(),
    }
}

/// Accepted with this outer source.
pub fn sender(address: &str) -> HandoverSender {
    HandoverSender { address: ip(address), sources: BTreeSet::new() }
}

/// A peer without allowed IPs.
pub fn peer(number: u32) -> WireGuardPeer {
    WireGuardPeer {
        identity: PeerIdentity::Node(name(&format!("gateway-{number}"))),
        endpoint: Some((Ipv4Addr::from(0xc633_6400 + number), 51820).into()),
        named: None,
        persistent_keepalive: None,
        preshared_key: None,
        allowed_ips: BTreeSet::new(),
    }
}

pub fn key(number: u32) -> PublicKey {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PublicKey::from_bytes(bytes)
}

pub fn pod_cidr(number: u32, family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::new(Ipv4Addr::from(0x0a80_0000 + (number << 8)).into(), 24).unwrap(),
        Family::V6 => IpNet::new(Ipv6Addr::from((0xfd42 << 112) + (u128::from(number + 1) << 64)).into(), 64).unwrap(),
    }
}

pub fn mesh_address(number: u32, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::from(0x0a04_0100 + number).into(),
        Family::V6 => Ipv6Addr::from((0xfdca << 112) + 0x100 + u128::from(number)).into(),
    }
}

pub fn keys() -> Keys {
    Keys { private: SecretKey::new([9; 32]), preshared: BTreeMap::new() }
}

pub fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}
