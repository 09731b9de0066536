//! The choice of what the agent advertises.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::discovery::interface::{HostFacts, Interface};
use crate::discovery::surroundings::{OwnNode, Surroundings};
use crate::discovery::{endpoint, internal_address, surroundings};
use crate::model::{DeviceName, Endpoint, InternalAddresses, RoutedNetwork, Settings};

/// What the agent found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnFacts {
    /// To be published: the node's pod CIDRs.
    pub pod_cidrs: BTreeSet<IpNet>,
    /// To be published: at most one internal address for each family.
    pub advertised_internal_addresses: BTreeSet<IpNet>,
    /// To be published: at most one endpoint for each family.
    pub advertised_endpoints: BTreeSet<Endpoint>,
    /// For [`crate::model::LocalFacts::internal_devices`]: the device of each internal address that is in force.
    pub internal_devices: BTreeMap<IpAddr, DeviceName>,
    /// Internal addresses that people wrote and that no interface carries.
    pub absent_internal_addresses: BTreeSet<IpAddr>,
}

/// For [`crate::model::LocalFacts::networks`]: the networks that the host is attached to, each with its device, without those of Carrick's own devices and of pods.
#[must_use]
pub fn host_networks(interfaces: &[Interface], settings: &Settings) -> BTreeMap<IpNet, DeviceName> {
    surroundings::networks(interfaces, settings)
}

/// For [`crate::model::LocalFacts::routed`]: the networks that the host reaches through gateways, without those behind devices of containers and of
/// other CNI plugins.
#[must_use]
pub fn routed_networks(host: &HostFacts) -> BTreeMap<IpNet, RoutedNetwork> {
    let is_foreign = |routed: &RoutedNetwork| surroundings::is_foreign(routed.device.as_str());
    host.routed.iter().filter(|(_, routed)| !is_foreign(routed)).map(|(net, routed)| (*net, routed.clone())).collect()
}

/// Decides what the agent advertises of its node.
///
/// Internal address, in each family: the Node's `InternalIP` where an interface carries it; with `--internal-cidr` of that family, an
/// address inside of it; where no interface carries an `InternalIP` that the Node has in that family, or any at all, an address
/// of the default route. Addresses that end, which are temporary and deprecated ones, are never advertised.
///
/// Endpoint: none beside an `endpoint` annotation; else in each family the Node's `ExternalIP`, a public address on an interface, or the
/// internal address. A node with keepalive on gets no endpoint that is not public: others wait for it to dial in.
#[must_use]
pub fn own_facts(own: &OwnNode, interfaces: &[Interface], settings: &Settings) -> OwnFacts {
    let surroundings = Surroundings::new(own, interfaces, settings);
    let found = internal_address::internal_addresses(&surroundings);
    let in_force = match &own.node.internal_addresses {
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
        pod_cidrs: own.pod_cidrs.clone(),
        advertised_internal_addresses: found,
        internal_devices,
    }
}
