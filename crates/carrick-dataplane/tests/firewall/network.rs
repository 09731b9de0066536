//! One node and everything around it.
//!
//! ```text
//!          pod 10.1.0.5                                 remote: pods 10.2.0.5, host 172.31.0.9
//!              │ crk1                                      │ carrick0
//!            ┌─┴───────────────── node ────────────────────┴─┐
//!            │ 192.0.2.2, mesh 10.4.0.1                       │── carrick-vx ── near: pods 10.3.0.5
//!            └─┬─────────────────────────────────────────────┘
//!              │ eth0
//!          outside: internet 203.0.113.9, printer 192.168.7.5, neighbour 192.0.2.3
//! ```
//!
//! The same in IPv6. Virtual cables stand for the tunnels, so that what the node would encrypt can be looked at.

use std::net::IpAddr;

use carrick_dataplane::firewall::{Applied, Firewall};
use carrick_topology::constants::HANDOVER_PORT;
use carrick_topology::handover::HandoverFilter;
use carrick_topology::model::AllowedLocationMasquerade;
use carrick_topology::plan::{AllowedLocation, FirewallPlan, MeshDevices, MeshPorts};
use ipnet::IpNet;

use crate::namespace::Namespace;
pub use crate::wiring::{Pair, connect, give, in_both};

pub const POD: Pair = Pair("10.1.0.5", "fd01::5");
pub const NODE: Pair = Pair("192.0.2.2", "2001:db8::2");
pub const MESH: Pair = Pair("10.4.0.1", "fdca::1");
pub const REMOTE_POD: Pair = Pair("10.2.0.5", "fd02::5");
pub const REMOTE_HOST: Pair = Pair("172.31.0.9", "fd09::9");
pub const NEAR_POD: Pair = Pair("10.3.0.5", "fd03::5");
pub const INTERNET: Pair = Pair("203.0.113.9", "2001:db8:9::9");
pub const PRINTER: Pair = Pair("192.168.7.5", "fd07::5");
pub const NEIGHBOUR: Pair = Pair("192.0.2.3", "2001:db8::3");

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub struct Network {
    pub node: Namespace,
    pub pod: Namespace,
    pub remote: Namespace,
    pub near: Namespace,
    pub outside: Namespace,
    pub firewall: Firewall,
}

impl Network {
    /// The network, without a firewall yet.
    pub fn new() -> Self {
        let [node, pod, remote, near, outside] = std::array::from_fn(|_| Namespace::new());
        for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            node.sysctl(switch, "1");
        }
        connect(&node, "crk1", &pod, "eth0");
        connect(&node, "carrick0", &remote, "node");
        connect(&node, "carrick-vx", &near, "node");
        connect(&node, "eth0", &outside, "node");

        give(&pod, "eth0", &[POD]);
        give(&remote, "node", &[REMOTE_POD, REMOTE_HOST]);
        give(&near, "node", &[NEAR_POD]);
        give(&outside, "node", &[INTERNET, PRINTER, NEIGHBOUR]);
        for (namespace, device) in [(&pod, "eth0"), (&remote, "node"), (&near, "node"), (&outside, "node")] {
            namespace.ip(&format!("route add default dev {device}\nroute add ::/0 dev {device}"));
        }

        give(&node, "eth0", &[NODE]);
        give(&node, "carrick0", &[MESH]);
        give(&node, "carrick-vx", &[MESH]);
        node.ip("route add default dev eth0\n\
             route add ::/0 dev eth0\n\
             route add 10.1.0.0/24 dev crk1\n\
             route add fd01::/64 dev crk1\n\
             route add 10.2.0.0/24 dev carrick0 src 10.4.0.1\n\
             route add fd02::/64 dev carrick0 src fdca::1\n\
             route add 172.31.0.9 dev carrick0 src 10.4.0.1\n\
             route add fd09::9 dev carrick0 src fdca::1\n\
             route add 10.3.0.0/24 dev carrick-vx src 10.4.0.1\n\
             route add fd03::/64 dev carrick-vx src fdca::1");
        let firewall = node.run(|| Firewall::open().unwrap());
        Self { node, pod, remote, near, outside, firewall }
    }

    /// The network with the firewall of [`plan`].
    pub fn guarded() -> Self {
        Self::with(&plan())
    }

    /// The network with a firewall.
    pub fn with(plan: &FirewallPlan) -> Self {
        let mut network = Self::new();
        network.apply(plan);
        network
    }

    /// Applies a plan; nothing may be refused.
    pub fn apply(&mut self, plan: &FirewallPlan) -> Applied {
        let applied = self.firewall.apply(plan).unwrap();
        assert!(applied.refused.is_empty(), "{:?}", applied.refused);
        applied
    }

    /// How many packets the rules with this comment have counted.
    pub fn counted(&self, comment: &str) -> u64 {
        let table = self.node.nft("list table inet carrick");
        let rules = table.lines().filter(|line| line.contains(&format!("comment \"{comment}\"")));
        rules
            .map(|line| line.split_once("packets ").unwrap().1.split_once(' ').unwrap().0.parse::<u64>().unwrap())
            .sum()
    }
}

/// The plan for the node.
pub fn plan() -> FirewallPlan {
    let addresses = |pairs: &[Pair]| pairs.iter().flat_map(|pair| pair.both()).map(address).collect();
    let remote = nets(&["10.2.0.0/24", "fd02::/64", "172.31.0.9/32", "fd09::9/128"]);
    let near = nets(&["10.3.0.0/24", "fd03::/64"]);
    let mesh = nets(&["10.4.0.0/16", "fdca::/64"]);
    let transit = [&remote[..], &near].concat().into_iter().collect();
    FirewallPlan {
        mesh_devices: MeshDevices::default(),
        vxlan_port: 51822,
        vxlan_addresses: addresses(&[NODE]),
        vxlan_sources: addresses(&[NEIGHBOUR]),
        vxlan_identifier: 1107,
        vxlan_devices: Some(["eth0".parse().unwrap()].into()),
        mesh_ports: MeshPorts {
            ports: [51820, 51821, 51822, 51823].into(),
            addresses: [&mesh[..], &hosts(&[NODE, NEIGHBOUR, REMOTE_HOST])].concat().into_iter().collect(),
            senders: mesh.iter().copied().collect(),
        },
        mesh_addresses: addresses(&[MESH]),
        internal_sources: addresses(&[NODE]),
        internal_destinations: addresses(&[REMOTE_HOST]),
        node_senders: addresses(&[REMOTE_HOST]),
        plain_neighbours: [].into(),
        own_pods: nets(&["10.1.0.0/24", "fd01::/64"]).into_iter().collect(),
        pod_device_prefix: Some("crk".to_owned()),
        carried: [&remote[..], &near, &mesh].concat().into_iter().collect(),
        carried_by: [
            ("carrick0".parse().unwrap(), remote.into_iter().collect()),
            ("carrick-vx".parse().unwrap(), near.into_iter().collect()),
        ]
        .into(),
        direct: [].into(),
        encapsulated_sources: nets(&["10.2.0.0/24", "fd02::/64"]).into_iter().collect(),
        transit,
        container_devices: ["docker".to_owned(), "virbr".to_owned()].into(),
        container_bridges: [].into(),
        allowed_location: AllowedLocation {
            destinations: nets(&["192.168.7.0/24", "fd07::/64"]).into_iter().collect(),
            masquerade: AllowedLocationMasquerade::On,
        },
        default_sources: [].into(),
        host_networks: [].into(),
        location_internal_addresses: addresses(&[NEIGHBOUR]),
        narrow: std::collections::BTreeMap::new(),
        handover: HandoverFilter { port: HANDOVER_PORT, ..HandoverFilter::default() },
        firewall_mark: 0x1000,
    }
}

fn hosts(pairs: &[Pair]) -> Vec<IpNet> {
    pairs.iter().flat_map(|pair| pair.both()).map(|text| address(text).into()).collect()
}

pub fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A host at a device of the node that does not belong to the mesh.
pub fn attach(node: &Namespace, device: &str, addresses: Pair) -> Namespace {
    let attached = Namespace::new();
    connect(node, device, &attached, "eth0");
    give(&attached, "eth0", &[addresses]);
    attached.ip("route add default dev eth0\nroute add ::/0 dev eth0");
    let Pair(ipv4, ipv6) = addresses;
    node.ip(&format!("route add {ipv4} dev {device}\nroute add {ipv6} dev {device}"));
    attached
}
