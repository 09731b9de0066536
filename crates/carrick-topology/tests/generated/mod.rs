//! Random clusters, and facts about them that hold by construction.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;

use carrick_topology::model::{
    AgentVersion, Encapsulation, Endpoint, Granularity, InternalAddresses, Node, Peer, Preference, PublicKey, Settings,
};
use carrick_topology::{Cluster, Family};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;
use proptest::sample::select;

/// Which families a cluster uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    V4,
    V6,
    Dual,
}

impl Families {
    pub fn list(self) -> &'static [Family] {
        match self {
            Self::V4 => &[Family::V4],
            Self::V6 => &[Family::V6],
            Self::Dual => &Family::BOTH,
        }
    }
}

/// How a node is attached to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A public endpoint and an internal address.
    Public,
    /// Behind NAT, with keepalive.
    Nat,
    /// A public endpoint and no internal address: the node is alone.
    Alone,
}

/// One random node.
#[derive(Clone, Debug)]
pub struct NodeSeed {
    pub location: usize,
    pub attachment: Attachment,
    pub subnet: u8,
    pub gateway: Preference,
    pub relay: Preference,
    pub created: i64,
    pub allows_network: bool,
}

/// A random cluster with its settings.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub cluster: Cluster,
    pub settings: Settings,
    pub families: Families,
}

fn preference() -> impl Strategy<Value = Preference> {
    prop_oneof![8 => Just(Preference::Auto), 2 => Just(Preference::Preferred), 1 => Just(Preference::Never)]
}

fn node_seed(locations: usize) -> impl Strategy<Value = NodeSeed> {
    let attachment =
        prop_oneof![5 => Just(Attachment::Public), 3 => Just(Attachment::Nat), 1 => Just(Attachment::Alone)];
    (0..locations, attachment, 0..2_u8, preference(), preference(), 0..1000_i64, prop::bool::weighted(0.1)).prop_map(
        |(location, attachment, subnet, gateway, relay, created, allows_network)| NodeSeed {
            location,
            attachment,
            subnet,
            gateway,
            relay,
            created,
            allows_network,
        },
    )
}

/// Clusters without conflicts: 1 to `most_nodes` nodes in 1 to 8 locations.
pub fn scenario(most_nodes: usize) -> impl Strategy<Value = Scenario> {
    let families = select(vec![Families::V4, Families::V6, Families::Dual]);
    let granularity = select(vec![Granularity::Location, Granularity::Cross, Granularity::Full]);
    let encapsulation = select(vec![Encapsulation::Always, Encapsulation::CrossSubnet, Encapsulation::Never]);
    (1..=8_usize)
        .prop_flat_map(move |locations| prop::collection::vec(node_seed(locations), 1..=most_nodes))
        .prop_flat_map(move |seeds| {
            (
                Just(seeds),
                families.clone(),
                granularity.clone(),
                encapsulation.clone(),
                1..=3_usize,
                0..=2_usize,
                0..3_usize,
            )
        })
        .prop_map(|(seeds, families, granularity, encapsulation, active, standby, peers)| {
            let mut scenario = Scenario { cluster: Cluster::default(), settings: Settings::default(), families };
            scenario.settings.granularity = granularity;
            scenario.settings.encapsulation = encapsulation;
            scenario.settings.active_gateways = NonZeroUsize::new(active).unwrap();
            scenario.settings.standby_gateways = standby;
            for (number, seed) in seeds.iter().enumerate() {
                scenario.add(number, seed);
            }
            for number in 0..peers {
                scenario.cluster.insert_peer(peer(number, families));
            }
            scenario
        })
}

impl Scenario {
    /// Adds a node whose addresses overlap with no other node's.
    pub fn add(&mut self, number: usize, seed: &NodeSeed) {
        // Without encapsulation, the nodes of a location need a shared subnet.
        let one_subnet = self.settings.encapsulation == Encapsulation::Never;
        let seed = NodeSeed { subnet: if one_subnet { 0 } else { seed.subnet }, ..seed.clone() };
        let node = node(number, &seed, self.families);
        if let InternalAddresses::Advertised(addresses) = &node.internal_addresses {
            for net in addresses {
                self.settings.local.internal_devices.insert(net.addr(), "eth0".parse().unwrap());
            }
        }
        self.cluster.insert_node(node);
    }
}

fn of_families<T>(families: Families, v4: T, v6: T) -> Vec<T> {
    match families {
        Families::V4 => vec![v4],
        Families::V6 => vec![v6],
        Families::Dual => vec![v4, v6],
    }
}

fn node(number: usize, seed: &NodeSeed, families: Families) -> Node {
    let n = u16::try_from(number).unwrap();
    let [high, low] = n.to_be_bytes();
    let place = u8::try_from(seed.location).unwrap();
    let mut node = Node::new(format!("n{number:03}").parse().unwrap(), seed.created);
    node.location = Some(format!("place-{place}").parse().unwrap());
    node.public_key = Some(key(number));
    node.agent = Some(AgentVersion {
        version: "1".to_owned(),
        protocol: AgentVersion::TELLS_OUTSIDE_MESH,
        settings: String::new(),
        outside_mesh: BTreeSet::new(),
    });
    node.gateway = seed.gateway;
    node.relay = seed.relay;
    let v4_pods = IpNet::V4(Ipv4Net::new(Ipv4Addr::new(10, 42 + high, low, 0), 24).unwrap());
    let v6_pods = IpNet::V6(Ipv6Net::new(Ipv6Addr::new(0xfd42, 0, 0, n, 0, 0, 0, 0), 64).unwrap());
    node.pod_cidrs = of_families(families, v4_pods, v6_pods).into_iter().collect();
    let host = n + 1;
    node.mesh_addresses = BTreeSet::from([
        IpAddr::V4(Ipv4Addr::from_bits(0x0a04_0000 + u32::from(host))),
        IpAddr::V6(Ipv6Addr::new(0xfdca, 0x7272, 0x6963, 0x6b00, 0, 0, 0, host)),
    ]);
    let v4_internal = Ipv4Net::new(Ipv4Addr::new(192, 168, place * 2 + seed.subnet, low + 1), 24).unwrap();
    let v6_internal =
        Ipv6Net::new(Ipv6Addr::new(0xfd99, 0, u16::from(place), u16::from(seed.subnet), 0, 0, 0, host), 64).unwrap();
    let v4_public = IpAddr::V4(Ipv4Addr::new(198, 51, 100, low + 1));
    let v6_public = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host));
    if seed.attachment != Attachment::Alone {
        let internal = of_families(families, IpNet::V4(v4_internal), IpNet::V6(v6_internal));
        node.internal_addresses = InternalAddresses::Advertised(internal.into_iter().collect());
    }
    if seed.attachment == Attachment::Nat {
        node.persistent_keepalive = Some(25);
    } else {
        let addresses = of_families(families, v4_public, v6_public);
        node.advertised_endpoints = addresses.into_iter().map(|address| Endpoint::at(address, 51820)).collect();
    }
    if seed.allows_network {
        let network = of_families(
            families,
            IpNet::V4(Ipv4Net::new(Ipv4Addr::new(172, 20, place, 0), 24).unwrap()),
            IpNet::V6(Ipv6Net::new(Ipv6Addr::new(0xfd77, 0, u16::from(place), 0, 0, 0, 0, 0), 64).unwrap()),
        );
        node.allowed_location_cidrs = network.into_iter().collect();
    }
    node
}

fn peer(number: usize, families: Families) -> Peer {
    let n = u8::try_from(number).unwrap();
    let allowed_ips = of_families(
        families,
        IpNet::V4(Ipv4Net::new(Ipv4Addr::new(172, 30, n, 0), 24).unwrap()),
        IpNet::V6(Ipv6Net::new(Ipv6Addr::new(0xfd30, 0, 0, u16::from(n), 0, 0, 0, 0), 64).unwrap()),
    );
    Peer {
        name: format!("peer-{number}").parse().unwrap(),
        created: 0,
        public_key: key(9000 + number),
        allowed_ips: allowed_ips.into_iter().collect(),
        endpoint: None,
        persistent_keepalive: None,
        preshared_key: None,
        location: None,
    }
}

pub fn key(number: usize) -> PublicKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    PublicKey::from_bytes(bytes)
}

/// One bad value for one node.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    KeyOf(usize),
    PodsOf(usize),
    MeshAddressOf(usize),
    InternalAddressOf(usize),
    PodsInMeshCidr,
    InternalInPods,
    WideNetwork,
    PublicInternal,
    NothingAtAll,
}

pub fn damage() -> impl Strategy<Value = (usize, Damage)> {
    let other = 0..60_usize;
    let kind = prop_oneof![
        other.clone().prop_map(Damage::KeyOf),
        other.clone().prop_map(Damage::PodsOf),
        other.clone().prop_map(Damage::MeshAddressOf),
        other.clone().prop_map(Damage::InternalAddressOf),
        Just(Damage::PodsInMeshCidr),
        Just(Damage::InternalInPods),
        Just(Damage::WideNetwork),
        Just(Damage::PublicInternal),
        Just(Damage::NothingAtAll),
    ];
    (other, kind)
}

impl Scenario {
    /// Puts the bad value into the node with this number, modulo the number of nodes.
    pub fn spoil(&mut self, victim: usize, damage: Damage) {
        let names: Vec<_> = self.cluster.nodes.keys().cloned().collect();
        let other = |number: usize| self.cluster.nodes[&names[number % names.len()]].clone();
        let mut node = other(victim);
        match damage {
            Damage::KeyOf(number) => node.public_key = other(number).public_key,
            Damage::PodsOf(number) => node.pod_cidrs = other(number).pod_cidrs,
            Damage::MeshAddressOf(number) => node.mesh_addresses = other(number).mesh_addresses,
            Damage::InternalAddressOf(number) => node.internal_addresses = other(number).internal_addresses,
            Damage::PodsInMeshCidr => node.pod_cidrs = BTreeSet::from(["10.4.7.0/24".parse().unwrap()]),
            Damage::InternalInPods => {
                node.internal_addresses = InternalAddresses::Forced(BTreeSet::from(["10.42.0.9/24".parse().unwrap()]));
            }
            Damage::WideNetwork => {
                node.allowed_location_cidrs =
                    BTreeSet::from(["192.168.0.0/16".parse().unwrap(), "0.0.0.0/0".parse().unwrap()]);
            }
            Damage::PublicInternal => {
                let addresses = BTreeSet::from(["198.51.100.250/24".parse().unwrap()]);
                node.internal_addresses = InternalAddresses::Advertised(addresses);
            }
            Damage::NothingAtAll => node = Node::new(node.name, node.created),
        }
        self.cluster.insert_node(node);
    }

    /// The number of locations with a node that may relay: public, permitted, and a gateway where only gateways relay.
    pub fn places_with_relay(&self) -> usize {
        let mut places: BTreeMap<String, bool> = BTreeMap::new();
        for node in self.cluster.nodes.values() {
            let alone = matches!(&node.internal_addresses, InternalAddresses::Advertised(list) if list.is_empty());
            let location = node.location.as_ref().map_or("", |name| name.as_str());
            let place = if alone { format!("{location}/{}", node.name) } else { location.to_owned() };
            let is_plain = node.relay != Preference::Never
                && node.gateway == Preference::Auto
                && !node.advertised_endpoints.is_empty();
            places.entry(place).and_modify(|all| *all &= is_plain).or_insert(is_plain);
        }
        places.values().filter(|has| **has).count()
    }
}
