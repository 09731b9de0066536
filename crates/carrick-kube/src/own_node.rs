//! What a node's agent finds out about its own node.
//!
//! Sources are the own Node object in full and the network interfaces of the host; [`own_facts`] decides which addresses and endpoints
//! the agent advertises. It is a pure function: the agent reads the interfaces through netlink and calls it whenever either source changes.

mod address;
mod endpoint;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use carrick_topology::constants::{DEFAULT_UPLINK_MTU, HANDOVER_DEVICE, POD_DEVICE_PREFIX, VXLAN_DEVICE};
use carrick_topology::model::{DeviceName, Family, InternalAddresses, Node};
use carrick_topology::{Endpoint, Settings};
use ipnet::IpNet;

use crate::annotations::{NodeMetadata, parse_node};

/// The own Node object, reduced to what its agent needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNode {
    /// Name, age, annotations and labels.
    pub metadata: NodeMetadata,
    /// `metadata.uid`; it differs when the Node was deleted and made again.
    pub uid: String,
    /// `spec.podCIDRs`; empty until the controller manager has given the node its pod subnets.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// `status.addresses` of type `InternalIP`, in their order.
    pub internal_ips: Vec<IpAddr>,
    /// `status.addresses` of type `ExternalIP`, in their order.
    pub external_ips: Vec<IpAddr>,
}

/// A network interface of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: DeviceName,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its lasting addresses with the length of their subnet: neither temporary (RFC 8981), nor deprecated, tentative or duplicate ones.
    pub addresses: BTreeSet<IpNet>,
    /// The families whose default route in the main table, if there are several the one of least metric, leaves by it.
    pub default_route: BTreeSet<Family>,
}

/// What the agent found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFacts {
    /// To be published: the node's pod CIDRs.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// To be published: at most one internal address for each family.
    pub advertised_internal_addresses: BTreeSet<IpNet>,
    /// To be published: at most one endpoint for each family.
    pub advertised_endpoints: BTreeSet<Endpoint>,
    /// For [`carrick_topology::model::LocalFacts::internal_devices`]: the device of each internal address that is in force.
    pub internal_devices: BTreeMap<IpAddr, DeviceName>,
    /// For [`carrick_topology::model::LocalFacts::uplink_mtu`], in bytes.
    pub uplink_mtu: u32,
    /// Internal addresses that people wrote and that no interface carries.
    pub absent_internal_addresses: BTreeSet<IpAddr>,
}

/// Decides what the agent advertises of its node.
///
/// Internal address, in each family: the Node's `InternalIP` where an interface carries it; with `--internal-cidr` of that family, an
/// address inside of it; where no interface carries any `InternalIP`, the address of the default route's interface.
///
/// Endpoint: none beside an `endpoint` annotation; else in each family the Node's `ExternalIP`, a public address on an interface, or the
/// internal address. A node with keepalive on gets no endpoint that is not public: others wait for it to dial in.
#[must_use]
pub fn own_facts(own: &OwnNode, interfaces: &[Interface], settings: &Settings) -> OwnFacts {
    let node = parse_node(&own.metadata, &settings.topology_label).node;
    let surroundings = Surroundings::new(own, interfaces, settings, &node);
    let found = address::internal_addresses(&surroundings);
    let in_force = match &node.internal_addresses {
        InternalAddresses::Advertised(_) => found.clone(),
        InternalAddresses::Forced(addresses) => addresses.clone(),
        InternalAddresses::None => BTreeSet::new(),
    };
    let internal_devices: BTreeMap<_, _> =
        in_force.iter().filter_map(|net| Some((net.addr(), surroundings.carrier(net.addr())?.name.clone()))).collect();
    OwnFacts {
        advertised_endpoints: endpoint::endpoints(&surroundings, if in_force.is_empty() { &found } else { &in_force }),
        absent_internal_addresses: in_force
            .iter()
            .map(IpNet::addr)
            .filter(|address| !internal_devices.contains_key(address))
            .collect(),
        uplink_mtu: surroundings.uplink_mtu(&internal_devices),
        pod_cidrs: own.pod_cidrs.clone(),
        advertised_internal_addresses: found,
        internal_devices,
    }
}

/// All that the decisions look at.
struct Surroundings<'a> {
    own: &'a OwnNode,
    node: &'a Node,
    settings: &'a Settings,
    interfaces: Vec<&'a Interface>,
}

/// Devices whose names begin so belong to containers, to other CNI plugins or to kube-proxy; what they carry is not the node's own.
const FOREIGN_DEVICES: [&str; 17] = [
    "br-",
    "cali",
    "cbr",
    "cilium",
    "cni",
    "docker",
    "dummy",
    "flannel",
    "kube-",
    "lxc",
    "lxdbr",
    "nodelocaldns",
    "podman",
    "tunl",
    "veth",
    "virbr",
    "weave",
];

impl<'a> Surroundings<'a> {
    fn new(own: &'a OwnNode, interfaces: &'a [Interface], settings: &'a Settings, node: &'a Node) -> Self {
        let is_carricks = |name: &str| {
            [settings.interface.as_str(), VXLAN_DEVICE, HANDOVER_DEVICE].contains(&name)
                || name.starts_with(POD_DEVICE_PREFIX)
        };
        let interfaces = interfaces.iter().filter(|interface| !is_carricks(interface.name.as_str())).collect();
        Self { own, node, settings, interfaces }
    }

    /// The interface that has this very address.
    fn carrier(&self, address: IpAddr) -> Option<&'a Interface> {
        let carries = |interface: &&&Interface| interface.addresses.iter().any(|net| net.addr() == address);
        self.interfaces.iter().find(carries).copied()
    }

    /// The address with the length of its subnet, where an interface carries it.
    fn with_length(&self, address: IpAddr) -> Option<IpNet> {
        self.carrier(address)?.addresses.iter().find(|net| net.addr() == address).copied()
    }

    /// The addresses of the host itself that other nodes could use, each with its interface.
    fn candidates(&self, family: Family) -> impl Iterator<Item = (&'a Interface, IpNet)> {
        let is_foreign = |name: &str| FOREIGN_DEVICES.iter().any(|prefix| name.starts_with(prefix));
        self.interfaces
            .iter()
            .copied()
            .filter(move |interface| interface.default_route.contains(&family) || !is_foreign(interface.name.as_str()))
            .flat_map(|interface| interface.addresses.iter().map(move |net| (interface, *net)))
            .filter(move |(_, net)| Family::of_net(net) == family && self.is_usable(net.addr()))
    }

    /// Whether an address can be the node's: not link-local, and not out of a range that the cluster hands out.
    fn is_usable(&self, address: IpAddr) -> bool {
        let local = match address {
            IpAddr::V4(address) => address.is_link_local() || address.is_loopback() || address.is_unspecified(),
            IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback() || address.is_unspecified(),
        };
        let settings = self.settings;
        let mut handed_out = settings.mesh_cidrs.iter().chain(&settings.service_cidrs).chain(&self.own.pod_cidrs);
        !local && !address.is_multicast() && !handed_out.any(|range| range.contains(&address))
    }

    fn uplink_mtu(&self, internal_devices: &BTreeMap<IpAddr, DeviceName>) -> u32 {
        let least = |counts: &dyn Fn(&Interface) -> bool| {
            self.interfaces.iter().filter(|interface| counts(interface)).map(|interface| interface.mtu).min()
        };
        least(&|interface| !interface.default_route.is_empty())
            .or_else(|| least(&|interface| internal_devices.values().any(|name| *name == interface.name)))
            .unwrap_or(DEFAULT_UPLINK_MTU)
    }
}
