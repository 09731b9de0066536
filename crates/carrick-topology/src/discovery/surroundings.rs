//! What the choice of addresses depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::constants::{DEFAULT_UPLINK_MTU, HANDOVER_DEVICE, LOOPBACK_DEVICE, POD_DEVICE_PREFIX, VXLAN_DEVICE};
use crate::model::{DeviceName, Family, Node, Settings};

/// The own Node object, reduced to what its agent needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnNode {
    /// The node as its metadata describes it.
    pub node: Node,
    /// `spec.podCIDRs`; empty until the controller manager has given the node its pod subnets.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// `status.addresses` of type `InternalIP`, in their order.
    pub internal_ips: Vec<IpAddr>,
    /// `status.addresses` of type `ExternalIP`, in their order.
    pub external_ips: Vec<IpAddr>,
}

impl OwnNode {
    /// A node without pod CIDRs and addresses.
    #[must_use]
    pub const fn new(node: Node) -> Self {
        Self { node, pod_cidrs: BTreeSet::new(), internal_ips: Vec::new(), external_ips: Vec::new() }
    }
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
    /// The networks that routes of the main table reach by it without a gateway, beside the subnets of its addresses.
    pub on_link: BTreeSet<IpNet>,
    /// The families whose default route in the main table, if there are several the one of least metric, leaves by it.
    pub default_route: BTreeSet<Family>,
}

/// All that the choice depends on.
pub(super) struct Surroundings<'a> {
    pub(super) own: &'a OwnNode,
    pub(super) settings: &'a Settings,
    interfaces: Vec<&'a Interface>,
}

/// Devices whose names begin so belong to containers, to other CNI plugins or to kube-proxy; their addresses are not the node's own.
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
    pub(super) fn new(own: &'a OwnNode, interfaces: &'a [Interface], settings: &'a Settings) -> Self {
        Self { own, settings, interfaces: interfaces_of_host(interfaces, settings).collect() }
    }

    /// The interface that has this very address.
    pub(super) fn carrier(&self, address: IpAddr) -> Option<&'a Interface> {
        let carries = |interface: &&&Interface| interface.addresses.iter().any(|net| net.addr() == address);
        self.interfaces.iter().find(carries).copied()
    }

    /// The address with the length of its subnet, where an interface carries it.
    pub(super) fn with_length(&self, address: IpAddr) -> Option<IpNet> {
        self.carrier(address)?.addresses.iter().find(|net| net.addr() == address).copied()
    }

    /// The addresses of the host itself that other nodes could use, each with its interface.
    pub(super) fn candidates(&self, family: Family) -> impl Iterator<Item = (&'a Interface, IpNet)> {
        let is_foreign = |name: &str| FOREIGN_DEVICES.iter().any(|prefix| name.starts_with(prefix));
        self.interfaces
            .iter()
            .copied()
            .filter(move |interface| interface.default_route.contains(&family) || !is_foreign(interface.name.as_str()))
            .flat_map(|interface| interface.addresses.iter().map(move |net| (interface, *net)))
            .filter(move |(_, net)| Family::of_net(net) == family && self.is_usable(net.addr()))
    }

    /// Whether an address can be the node's: not link-local, and not out of a range that the cluster hands out.
    pub(super) fn is_usable(&self, address: IpAddr) -> bool {
        let local = match address {
            IpAddr::V4(address) => address.is_link_local() || address.is_loopback() || address.is_unspecified(),
            IpAddr::V6(address) => address.is_unicast_link_local() || address.is_loopback() || address.is_unspecified(),
        };
        let settings = self.settings;
        let mut handed_out = settings.mesh_cidrs.iter().chain(&settings.service_cidrs).chain(&self.own.pod_cidrs);
        !local && !address.is_multicast() && !handed_out.any(|range| range.contains(&address))
    }

    pub(super) fn uplink_mtu(&self, internal_devices: &BTreeMap<IpAddr, DeviceName>) -> u32 {
        let least = |counts: &dyn Fn(&Interface) -> bool| {
            self.interfaces.iter().filter(|interface| counts(interface)).map(|interface| interface.mtu).min()
        };
        least(&|interface| !interface.default_route.is_empty())
            .or_else(|| least(&|interface| internal_devices.values().any(|name| *name == interface.name)))
            .unwrap_or(DEFAULT_UPLINK_MTU)
    }
}

/// The networks that the host is attached to, with their devices. Loopback and link-local networks are none, and neither are single
/// addresses.
pub(super) fn networks(interfaces: &[Interface], settings: &Settings) -> BTreeMap<IpNet, DeviceName> {
    let mut networks = BTreeMap::new();
    for interface in
        interfaces_of_host(interfaces, settings).filter(|interface| interface.name.as_str() != LOOPBACK_DEVICE)
    {
        let all = interface.addresses.iter().chain(&interface.on_link).map(IpNet::trunc);
        for network in all.filter(is_network) {
            networks.entry(network).or_insert_with(|| interface.name.clone());
        }
    }
    networks
}

/// The interfaces that are neither Carrick's nor pods'.
fn interfaces_of_host<'a>(interfaces: &'a [Interface], settings: &Settings) -> impl Iterator<Item = &'a Interface> {
    let is_carricks = |name: &str| {
        [settings.interface.as_str(), VXLAN_DEVICE, HANDOVER_DEVICE].contains(&name)
            || name.starts_with(POD_DEVICE_PREFIX)
    };
    interfaces.iter().filter(move |interface| !is_carricks(interface.name.as_str()))
}

fn is_network(network: &IpNet) -> bool {
    let link_local = match network {
        IpNet::V4(network) => network.addr().is_link_local(),
        IpNet::V6(network) => network.addr().is_unicast_link_local(),
    };
    !link_local && network.prefix_len() < network.max_prefix_len()
}
