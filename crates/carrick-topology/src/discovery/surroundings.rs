//! What the choice of addresses depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::interface::{AddressRank, Attachment, Interface, InterfaceAddress};
use crate::constants::{DEFAULT_UPLINK_MTU, LOOPBACK_DEVICE, POD_DEVICE_PREFIX};
use crate::model::{DeviceName, Family, Node, Settings};
use crate::plan::{FirewallPlan, MeshDevices};

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

/// All that the choice depends on.
pub(super) struct Surroundings<'a> {
    pub(super) own: &'a OwnNode,
    pub(super) settings: &'a Settings,
    interfaces: Vec<&'a Interface>,
}

/// Devices whose names begin so belong to other CNI plugins or to kube-proxy.
const OTHER_FOREIGN_DEVICES: [&str; 7] = ["cilium", "dummy", "flannel", "kube-", "nodelocaldns", "tunl", "weave"];

/// Whether a device belongs to containers, to another CNI plugin or to kube-proxy: its addresses are not the node's own.
pub(super) fn is_foreign(device: &str) -> bool {
    FirewallPlan::CONTAINER_DEVICES.iter().chain(&OTHER_FOREIGN_DEVICES).any(|prefix| device.starts_with(prefix))
}

impl<'a> Surroundings<'a> {
    pub(super) fn new(own: &'a OwnNode, interfaces: &'a [Interface], settings: &'a Settings) -> Self {
        Self { own, settings, interfaces: interfaces_of_host(interfaces, settings).collect() }
    }

    /// The interface that has this very address.
    pub(super) fn carrier(&self, address: IpAddr) -> Option<&'a Interface> {
        self.interfaces.iter().find(|interface| interface.carries(address)).copied()
    }

    /// The address with the length of its subnet, where an interface carries it and it lasts.
    pub(super) fn lasting(&self, address: IpAddr) -> Option<IpNet> {
        let carrier = self.carrier(address)?;
        let carried = carrier.addresses.iter().find(|own| own.net.addr() == address)?;
        carried.rank.is_lasting().then(|| carrier.in_subnet(carried))
    }

    /// Whether an interface carries the address and it does not last.
    pub(super) fn ends(&self, address: IpAddr) -> bool {
        self.carrier(address).is_some() && self.lasting(address).is_none()
    }

    /// The addresses of the host itself that other nodes could use, in the kernel's order.
    pub(super) fn candidates(&self, family: Family) -> impl Iterator<Item = Candidate<'a>> {
        let all = self.interfaces.iter().copied().flat_map(move |interface| {
            interface.addresses.iter().map(move |address| Candidate { interface, address: *address, family })
        });
        all.filter(move |candidate| {
            let net = candidate.address.net;
            Family::of_net(&net) == family
                && candidate.address.rank.is_lasting()
                && (candidate.is_of_default_route() || !is_foreign(candidate.interface.name.as_str()))
                && self.is_usable(net.addr())
        })
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
}

/// An address of the host itself that other nodes could use.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'a> {
    interface: &'a Interface,
    address: InterfaceAddress,
    family: Family,
}

impl Candidate<'_> {
    /// The address with the length of its subnet.
    pub(super) fn net(&self) -> IpNet {
        self.interface.in_subnet(&self.address)
    }

    /// Whether packets by the default route leave by the interface or have this source. A router's address is often on the loopback device.
    pub(super) fn is_of_default_route(&self) -> bool {
        self.interface.default_route.contains(&self.family) || self.address.rank == AddressRank::DefaultSource
    }

    /// The order of candidates: those of the default route, then the [rank](AddressRank), then a subnet before a lone address, which
    /// is often one that moves between hosts, then what is advertised already. Of equal ones, the first one in the kernel's order comes first.
    pub(super) fn order(&self, is_advertised: bool) -> (bool, AddressRank, bool, bool) {
        let net = self.net();
        (!self.is_of_default_route(), self.address.rank, net.prefix_len() == net.max_prefix_len(), !is_advertised)
    }
}

/// The MTUs of the devices that lead to other nodes, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMtus {
    /// For [`crate::model::LocalFacts::uplink_mtu`].
    pub uplink: u32,
    /// For [`crate::model::LocalFacts::internal_mtus`].
    pub internal: BTreeMap<Family, u32>,
}

/// The MTUs of the devices that lead to other nodes, for a node whose internal addresses are on these devices.
#[must_use]
pub fn device_mtus(interfaces: &[Interface], internal_devices: &BTreeMap<IpAddr, DeviceName>) -> DeviceMtus {
    let uplinks = interfaces.iter().filter(|interface| !interface.default_route.is_empty());
    let uplink = uplinks.map(|interface| interface.mtu).min();
    let mut internal: BTreeMap<Family, u32> = BTreeMap::new();
    for (address, device) in internal_devices {
        let carrier = interfaces.iter().find(|interface| interface.name == *device);
        let mtu = carrier.and_then(|carrier| match carrier.attachment {
            Attachment::Network | Attachment::Containers => Some(carrier.mtu),
            Attachment::None => uplink,
        });
        if let Some(mtu) = mtu {
            let least = internal.entry(Family::of(address)).or_insert(mtu);
            *least = mtu.min(*least);
        }
    }
    let uplink = uplink.or_else(|| internal.values().copied().min()).unwrap_or(DEFAULT_UPLINK_MTU);
    DeviceMtus { uplink, internal }
}

/// For [`crate::model::LocalFacts::unattached_devices`]: those of the devices of internal addresses that lead to no other host.
#[must_use]
pub fn unattached_devices(
    interfaces: &[Interface],
    internal_devices: &BTreeMap<IpAddr, DeviceName>,
) -> BTreeSet<DeviceName> {
    let unattached = interfaces.iter().filter(|interface| interface.attachment == Attachment::None);
    let carries_internal = |name: &&DeviceName| internal_devices.values().any(|device| device == *name);
    unattached.map(|interface| &interface.name).filter(carries_internal).cloned().collect()
}

/// For [`crate::model::LocalFacts::container_bridges`]: a bridge of the default route leads out through a container or a virtual machine.
#[must_use]
pub fn container_bridges(interfaces: &[Interface]) -> BTreeSet<DeviceName> {
    let bridges = interfaces.iter().filter(|interface| interface.attachment == Attachment::Containers);
    bridges.filter(|bridge| bridge.default_route.is_empty()).map(|bridge| bridge.name.clone()).collect()
}

/// The networks that the host is attached to, with their devices. Loopback and link-local networks are none, and neither are single
/// addresses.
pub(super) fn networks(interfaces: &[Interface], settings: &Settings) -> BTreeMap<IpNet, DeviceName> {
    let mut networks = BTreeMap::new();
    for interface in
        interfaces_of_host(interfaces, settings).filter(|interface| interface.name.as_str() != LOOPBACK_DEVICE)
    {
        let subnets = interface.addresses.iter().map(|address| &address.net);
        let all = subnets.chain(&interface.on_link).map(IpNet::trunc);
        for network in all.filter(is_network) {
            networks.entry(network).or_insert_with(|| interface.name.clone());
        }
    }
    networks
}

/// The interfaces that are neither Carrick's nor pods'.
fn interfaces_of_host<'a>(interfaces: &'a [Interface], settings: &Settings) -> impl Iterator<Item = &'a Interface> {
    let devices = MeshDevices::with_wireguard(settings.interface.clone());
    let is_carricks =
        move |name: &DeviceName| devices.all().contains(&name) || name.as_str().starts_with(POD_DEVICE_PREFIX);
    interfaces.iter().filter(move |interface| !is_carricks(&interface.name))
}

fn is_network(network: &IpNet) -> bool {
    let link_local = match network {
        IpNet::V4(network) => network.addr().is_link_local(),
        IpNet::V6(network) => network.addr().is_unicast_link_local(),
    };
    !link_local && network.prefix_len() < network.max_prefix_len()
}
