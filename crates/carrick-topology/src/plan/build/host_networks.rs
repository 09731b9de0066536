//! The networks that the host is attached to, and those that it reaches through gateways. They keep working: where one of them overlaps a
//! destination of the mesh, packets to the network stay outside the mesh on this node.
//!
//! One exception: the part of a wider host network that an operator gives to the cluster is the cluster's. That is a mesh CIDR inside the
//! host network, and the pod CIDRs inside it if this node's own pod CIDR is inside it too.

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::WarningReason;
use crate::model::{DeviceName, RoutedNetwork};
use crate::resolve::{Member, Resolved};

/// The networks of one host.
pub(super) struct HostNetworks<'r> {
    /// Sorted; no network twice.
    networks: Vec<HostNetwork<'r>>,
    own_pods: &'r [IpNet],
}

/// A network of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostNetwork<'r> {
    net: IpNet,
    reached: Reached<'r>,
}

/// How the host reaches a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached<'r> {
    /// By an internal address of the node, whose device is not known.
    InternalAddress,
    /// Directly.
    Device(&'r DeviceName),
    /// Through gateways.
    Gateways(&'r RoutedNetwork),
}

impl HostNetwork<'_> {
    /// The network.
    pub(super) const fn net(&self) -> IpNet {
        self.net
    }

    /// Whether it is inside one of these networks.
    pub(super) fn is_inside(&self, nets: &[IpNet]) -> bool {
        nets.iter().any(|net| net.contains(&self.net))
    }

    /// Why a destination that overlaps the network is not routed.
    pub(super) fn reason(&self) -> WarningReason {
        WarningReason::OverlapsOwnSubnet(self.in_words())
    }

    /// The network with its device.
    pub(super) fn in_words(&self) -> String {
        match self.reached {
            Reached::InternalAddress => self.net.to_string(),
            Reached::Device(device) => format!("{} on {device}", self.net),
            Reached::Gateways(RoutedNetwork { device, via }) => {
                let via = via.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                format!("{} via {via} on {device}", self.net)
            }
        }
    }
}

impl<'r> HostNetworks<'r> {
    pub(super) fn new(resolved: &'r Resolved<'_>, me: &'r Member<'_>) -> Self {
        let local = &resolved.settings.local;
        let subnets = me.internal_addresses.iter().map(|net| (net.trunc(), Reached::InternalAddress));
        let attached = local.networks.iter().map(|(net, device)| (net.trunc(), Reached::Device(device)));
        // Other CNI plugins route pod CIDRs through the nodes themselves: these routes are the cluster's, not the host's.
        let nodes: LazyCell<BTreeSet<IpAddr>, _> = LazyCell::new(|| {
            resolved.members.iter().flat_map(|member| &member.internal_addresses).map(IpNet::addr).collect()
        });
        let routed = local.routed.iter().filter(|(_, routed)| routed.via.is_disjoint(&nodes));
        let routed = routed.map(|(net, routed)| (net.trunc(), Reached::Gateways(routed)));
        let networks: BTreeMap<IpNet, Reached<'r>> = routed.chain(subnets).chain(attached).collect();
        let networks = networks.into_iter().map(|(net, reached)| HostNetwork { net, reached });
        Self { networks: networks.collect(), own_pods: &me.pod_cidrs }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = IpNet> {
        self.networks.iter().map(HostNetwork::net)
    }

    /// The host network that contains a destination which an object of the cluster names.
    pub(super) fn containing(&self, net: &IpNet) -> Option<HostNetwork<'r>> {
        self.list().find(|host| host.net.contains(net))
    }

    /// The host network that takes precedence over the whole of a pod CIDR.
    pub(super) fn containing_pods(&self, pods: &IpNet) -> Option<HostNetwork<'r>> {
        let has_own_pods = |host: &HostNetwork<'_>| self.own_pods.iter().any(|own| host.net.contains(own));
        self.list().find(|host| host.net.contains(pods) && !has_own_pods(host))
    }

    /// The host network that takes precedence over a mesh address out of one of these mesh CIDRs.
    pub(super) fn containing_mesh_address<'c>(
        &self,
        address: &IpAddr,
        mut mesh_cidrs: impl Iterator<Item = &'c IpNet>,
    ) -> Option<HostNetwork<'r>> {
        let cidr = mesh_cidrs.find(|cidr| cidr.contains(address))?;
        self.list().find(|host| host.net.contains(address) && cidr.contains(&host.net))
    }

    /// The host networks inside a destination; the rest of the destination is routed into the mesh.
    pub(super) fn inside(&self, destination: &IpNet) -> impl Iterator<Item = HostNetwork<'r>> {
        let destination = *destination;
        self.list().filter(move |host| destination.contains(&host.net))
    }

    /// The host networks of which a destination is a part only.
    pub(super) fn around(&self, destination: &IpNet) -> impl Iterator<Item = HostNetwork<'r>> {
        let destination = *destination;
        self.list().filter(move |host| host.net != destination && host.net.contains(&destination))
    }

    fn list(&self) -> impl Iterator<Item = HostNetwork<'r>> {
        self.networks.iter().copied()
    }
}
