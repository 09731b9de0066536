//! Small clusters in a line or two.

use std::collections::{BTreeMap, BTreeSet};

use carrick_topology::Liveness;
use carrick_topology::handover::Decapsulation;
use carrick_topology::model::{
    Endpoint, Granularity, InternalAddresses, LocationName, Node, Peer, Preference, PublicKey, Settings,
};
use carrick_topology::plan::{NextHop, NodePlan, PeerIdentity, Route, WireGuardPeer, plan_all};
use carrick_topology::walk::{Network, Origin, Packet, Walk};
use carrick_topology::{Cluster, plan};
use carrick_topology::{ObjectName, Warning, WarningReason};
use ipnet::IpNet;

/// A cluster with settings and liveness.
#[derive(Clone)]
pub struct Mesh {
    pub cluster: Cluster,
    pub settings: Settings,
    pub liveness: Liveness,
}

/// A mesh of these nodes, with the default settings; every internal address is on `eth0`.
pub fn mesh(nodes: impl IntoIterator<Item = Node>) -> Mesh {
    let mut mesh = Mesh { cluster: Cluster::default(), settings: Settings::default(), liveness: Liveness::default() };
    for node in nodes {
        if let InternalAddresses::Advertised(nets) | InternalAddresses::Forced(nets) = &node.internal_addresses {
            let devices = nets.iter().map(|net| (net.addr(), "eth0".parse().unwrap()));
            mesh.settings.local.internal_devices.extend(devices);
        }
        mesh.cluster.insert_node(node);
    }
    mesh
}

impl Mesh {
    pub fn peer(mut self, peer: Peer) -> Self {
        self.cluster.insert_peer(peer);
        self
    }

    pub fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub fn granularity(self, granularity: Granularity) -> Self {
        self.set(|settings| settings.granularity = granularity)
    }

    pub fn active_gateways(self, count: usize) -> Self {
        self.set(|settings| settings.active_gateways = count.try_into().unwrap())
    }

    pub fn down(mut self, names: &[&str]) -> Self {
        self.liveness.down = names.iter().map(|name| name.parse().unwrap()).collect();
        self
    }

    /// Traffic returns to these gateways.
    pub fn returning(mut self, names: &[&str]) -> Self {
        self.liveness.handover.returning = names.iter().map(|name| name.parse().unwrap()).collect();
        self
    }

    /// These gateways accept encapsulated packets.
    pub fn decapsulating(mut self, names: &[&str], how: Decapsulation) -> Self {
        self.liveness.handover.decapsulating = names.iter().map(|name| (name.parse().unwrap(), how)).collect();
        self
    }

    /// Changes one node.
    pub fn change(mut self, name: &str, change: impl FnOnce(&mut Node)) -> Self {
        change(self.cluster.nodes.get_mut(name).unwrap());
        self
    }

    pub fn plan(&self, name: &str) -> NodePlan {
        plan(&self.cluster, &self.settings, &self.liveness, &name.parse().unwrap()).unwrap()
    }

    pub fn plans(&self) -> BTreeMap<String, NodePlan> {
        let plans = plan_all(&self.cluster, &self.settings, &self.liveness);
        plans.into_iter().map(|(name, plan)| (name.to_string(), plan)).collect()
    }

    /// Walks a packet from a pod of this node.
    pub fn walk(&self, from: &str, source: &str, destination: &str) -> Walk {
        let plans = plan_all(&self.cluster, &self.settings, &self.liveness);
        let network = Network::new(&self.cluster, &self.settings, &self.liveness, &plans);
        let packet = Packet { source: Some(source.parse().unwrap()), destination: destination.parse().unwrap() };
        network.walk(&Origin::Pod(from.parse().unwrap()), packet)
    }
}

/// `b3` is the third node of location `b`: internal address 192.168.2.3, pods in 10.42.23.0/24, endpoint 198.51.2.3, and
/// the same in IPv6; `b3` is younger than `b2`, and `b2` is younger than every node of `a`.
pub fn node(name: &str) -> Node {
    let (location, host) = (name.as_bytes()[0] - b'a' + 1, name[1..].parse::<u8>().unwrap());
    let number = location * 10 + host;
    let mut node = Node::new(name.parse().unwrap(), i64::from(number));
    node.location = Some(name[..1].parse().unwrap());
    node.public_key = Some(key(number));
    node.pod_cidrs = nets(&[&format!("10.42.{number}.0/24"), &format!("fd42:0:0:{number}::/64")]);
    node.mesh_addresses =
        [format!("10.4.0.{number}"), format!("fdca:7272:6963:6b00::{number}")].map(|text| text.parse().unwrap()).into();
    let internal = [format!("192.168.{location}.{host}/24"), format!("fd99:0:0:{location}::{host}/64")];
    node.internal_addresses = InternalAddresses::Advertised(nets(&[&internal[0], &internal[1]]));
    node.advertised_endpoints =
        endpoints(&[&format!("198.51.{location}.{host}"), &format!("2001:db8:{location}::{host}")]);
    node
}

/// Short forms for the changes that tests make.
pub trait Changed: Sized {
    fn with(self, change: impl FnOnce(&mut Self)) -> Self;
}

impl<T> Changed for T {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// A node behind NAT: keepalive, no endpoint.
pub fn nat_node(name: &str) -> Node {
    node(name).with(|node| {
        node.persistent_keepalive = Some(25);
        node.advertised_endpoints = BTreeSet::new();
    })
}

pub fn gateway(preference: Preference) -> impl FnOnce(&mut Node) {
    move |node| node.gateway = preference
}

pub fn internal(list: &[&str]) -> InternalAddresses {
    InternalAddresses::Advertised(nets(list))
}

pub fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub fn nets(list: &[&str]) -> BTreeSet<IpNet> {
    list.iter().map(|text| net(text)).collect()
}

pub fn endpoints(list: &[&str]) -> BTreeSet<Endpoint> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

pub fn location(name: &str) -> Option<LocationName> {
    Some(name.parse().unwrap())
}

/// An outside peer that dials in.
pub fn outside(name: &str, number: u8, allowed_ips: &[&str]) -> Peer {
    Peer {
        name: name.parse().unwrap(),
        created: i64::from(number),
        public_key: key(number),
        allowed_ips: nets(allowed_ips),
        endpoint: None,
        persistent_keepalive: None,
        preshared_key: None,
        location: None,
    }
}

pub fn node_object(name: &str) -> ObjectName {
    ObjectName::Node(name.parse().unwrap())
}

pub fn peer_object(name: &str) -> ObjectName {
    ObjectName::Peer(name.parse().unwrap())
}

pub fn warning(object: ObjectName, field: &str, value: &str, reason: WarningReason) -> Warning {
    Warning::new(object, field, value, reason)
}

/// The WireGuard peer of this node.
pub fn tunnel<'p>(plan: &'p NodePlan, name: &str) -> Option<&'p WireGuardPeer> {
    let identity = PeerIdentity::Node(name.parse().unwrap());
    plan.wireguard.peers.values().find(|peer| peer.identity == identity)
}

/// The WireGuard peer of this outside peer.
pub fn outside_tunnel<'p>(plan: &'p NodePlan, name: &str) -> Option<&'p WireGuardPeer> {
    let identity = PeerIdentity::Outside(name.parse().unwrap());
    plan.wireguard.peers.values().find(|peer| peer.identity == identity)
}

/// The nodes that a node has tunnels to.
pub fn tunnels(plan: &NodePlan) -> Vec<String> {
    let peers = plan.wireguard.peers.values();
    let mut names: Vec<String> = peers
        .filter_map(|peer| match &peer.identity {
            PeerIdentity::Node(name) => Some(name.to_string()),
            PeerIdentity::Outside(_) => None,
        })
        .collect();
    names.sort();
    names
}

/// The routes to exactly this network, the one with the lowest metric first.
pub fn routes<'p>(plan: &'p NodePlan, destination: &str) -> Vec<&'p Route> {
    let destination = net(destination);
    let mut routes: Vec<&Route> = plan.routes.iter().filter(|route| route.destination == destination).collect();
    routes.sort_by_key(|route| route.metric());
    routes
}

/// The next hop of the route to exactly this network.
pub fn next_hop<'p>(plan: &'p NodePlan, destination: &str) -> Option<&'p NextHop> {
    routes(plan, destination).first().map(|route| &route.next_hop)
}

pub fn vxlan(via: &str) -> NextHop {
    NextHop::Vxlan { via: via.parse().unwrap() }
}

pub fn direct(via: &str) -> NextHop {
    NextHop::Direct { via: via.parse().unwrap(), device: "eth0".parse().unwrap() }
}
