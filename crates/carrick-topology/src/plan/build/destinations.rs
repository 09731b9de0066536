//! Which networks the mesh carries for one node, and by which hop.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::cluster_networks::closed_networks;
use super::hops::Hop;
use super::host_networks::{HostNetwork, HostNetworks};
use crate::model::{Endpoint, Family, Host, Settings, host_net, number_of};
use crate::resolve::{Member, Resolved};
use crate::{ObjectName, Warning, WarningReason};

/// One network that the mesh carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) net: IpNet,
    pub(super) hop: Hop,
    /// Whether it is in another location.
    pub(super) is_remote: bool,
}

/// All networks that the mesh carries for one node, and the exceptions.
#[derive(Debug)]
pub(super) struct Destinations {
    /// Sorted; no network twice.
    pub(super) carried: Vec<Destination>,
    /// Networks of pods of which no node is known: packets to them go nowhere.
    pub(super) closed: BTreeSet<IpNet>,
    /// Networks inside carried or closed ones that are reached outside the mesh.
    pub(super) direct: BTreeSet<IpNet>,
}

impl Destinations {
    pub(super) fn new(
        resolved: &Resolved<'_>,
        me: &Member<'_>,
        hops: &[Hop],
        warnings: &mut BTreeSet<Warning>,
    ) -> Self {
        let exceptions = Exceptions::new(resolved, me);
        let mesh_cidrs = &resolved.settings.mesh_cidrs;
        for cidr in mesh_cidrs {
            let cidr = cidr.trunc();
            warnings.extend(exceptions.host.inside(&cidr).map(|host| refused(cidr, host, me.object(), "mesh-cidr")));
            warnings.extend(exceptions.host.around(&cidr).map(|host| {
                Warning::new(me.object(), "mesh-cidr", cidr, WarningReason::PartOfOwnSubnet(host.in_words()))
            }));
        }
        let mut carried = Vec::with_capacity(resolved.members.len() * 6);
        // Networks that operators set, which can be wide enough to contain an exception.
        let mut wide: Vec<IpNet> = Vec::new();
        // Networks that the cluster itself has, which can contain a network of the host.
        let mut ranges: Vec<IpNet> = mesh_cidrs.iter().map(IpNet::trunc).collect();

        let mut closed = BTreeSet::new();
        for cidr in closed_networks(resolved, me) {
            match exceptions.host.containing_pods(&cidr) {
                Some(host) => drop(warnings.insert(refused(cidr, host, me.object(), "cluster-cidr"))),
                None => {
                    // A bridge of this node's own pods is no other network.
                    let inside = exceptions.host.inside(&cidr).filter(|host| !host.is_inside(&me.pod_cidrs));
                    warnings.extend(inside.map(|host| refused(cidr, host, me.object(), "cluster-cidr")));
                    closed.insert(cidr);
                }
            }
        }

        for (other, hop) in resolved.members.iter().zip(hops) {
            let is_remote = other.location != me.location;
            let mut carry = |net| carried.push(Destination { net, hop: *hop, is_remote });
            if other.index != me.index {
                for cidr in &other.pod_cidrs {
                    if let Some(host) = exceptions.host.containing_pods(cidr) {
                        warnings.insert(refused(*cidr, host, other.object(), "pod-cidrs"));
                        continue;
                    }
                    warnings.extend(
                        exceptions.host.inside(cidr).map(|host| refused(*cidr, host, other.object(), "pod-cidrs")),
                    );
                    carry(*cidr);
                    ranges.push(*cidr);
                }
                for address in &other.mesh_addresses {
                    match exceptions.host.containing_mesh_address(address, mesh_cidrs.iter()) {
                        Some(host) => {
                            let net = host_net(*address);
                            warnings.insert(refused(net, host, other.object(), "mesh-addresses"));
                        }
                        None => carry(host_net(*address)),
                    }
                }
                for cidr in other.owned_cidrs.iter().filter(|cidr| !me.exit_cidrs.contains(cidr)) {
                    if exceptions.permit_named(*cidr, || other.object(), "allowed-location-cidrs", warnings) {
                        carry(*cidr);
                        wide.push(*cidr);
                    }
                }
                if is_remote {
                    for net in &other.internal_addresses {
                        let host = host_net(net.addr());
                        if !exceptions.addresses.contains(&net.addr())
                            && exceptions.permit(host, || other.object(), "internal-addresses", warnings)
                        {
                            carry(host);
                        }
                    }
                }
            }
            let hop = if other.index == me.index { Hop::Tunnel(me.index) } else { *hop };
            for (net, peer) in resolved.outside_networks.get(&other.index).into_iter().flatten() {
                let owner = || ObjectName::Peer((*peer).clone());
                if exceptions.permit_named(*net, owner, "allowedIPs", warnings) {
                    carried.push(Destination { net: *net, hop, is_remote });
                    wide.push(*net);
                }
            }
        }
        carried.sort_unstable_by_key(|destination| order(&destination.net));
        let mut direct = exceptions.inside(&wide, &ranges);
        direct.extend(exceptions.inside_closed(&closed));
        Self { carried, closed, direct }
    }

    /// Whether the mesh carries this very network.
    pub(super) fn carries(&self, net: &IpNet) -> bool {
        self.carried.binary_search_by_key(&order(net), |destination| order(&destination.net)).is_ok()
    }
}

fn refused(net: IpNet, host: HostNetwork<'_>, owner: ObjectName, field: &str) -> Warning {
    Warning::new(owner, field, net, host.reason())
}

/// A key that sorts networks as their type does, in numbers.
fn order(net: &IpNet) -> (Family, u128, u8) {
    (Family::of_net(net), number_of(net.addr()), net.prefix_len())
}

/// Networks and addresses that the mesh never carries.
struct Exceptions<'r> {
    /// The networks that the host is attached to.
    host: HostNetworks<'r>,
    /// This node's pod CIDRs.
    own_pods: Vec<IpNet>,
    /// Networks of Service addresses, which the host translates.
    services: Vec<IpNet>,
    /// Networks of the location that leave the mesh at this node.
    exits: Vec<IpNet>,
    /// Internal addresses of the own location.
    location: Vec<IpAddr>,
    /// Addresses at which tunnels are dialled, and those of the API server.
    addresses: BTreeSet<IpAddr>,
}

impl<'r> Exceptions<'r> {
    fn new(resolved: &'r Resolved<'_>, me: &'r Member<'_>) -> Self {
        let location = resolved.location_of(me);
        let location = location
            .members
            .iter()
            .flat_map(|index| resolved.at(*index).internal_addresses.iter().map(IpNet::addr))
            .collect();
        Self {
            host: HostNetworks::new(resolved, me),
            own_pods: me.pod_cidrs.clone(),
            services: resolved.settings.service_cidrs.iter().map(IpNet::trunc).collect(),
            exits: me.exit_cidrs.clone(),
            location,
            addresses: dialled_addresses(resolved),
        }
    }

    /// Whether a network may be routed on this node: not if a network of the host contains it.
    fn permit(
        &self,
        net: IpNet,
        owner: impl FnOnce() -> ObjectName,
        field: &str,
        warnings: &mut BTreeSet<Warning>,
    ) -> bool {
        let Some(host) = self.host.containing(&net) else {
            return true;
        };
        warnings.insert(refused(net, host, owner(), field));
        false
    }

    /// The same for a network that an operator set. A network that is a single excepted address is refused as well.
    fn permit_named(
        &self,
        net: IpNet,
        owner: impl FnOnce() -> ObjectName,
        field: &str,
        warnings: &mut BTreeSet<Warning>,
    ) -> bool {
        if host_net(net.addr()) == net && self.addresses.contains(&net.addr()) {
            let reason = WarningReason::OverlapsCluster("an endpoint or the API server".to_owned());
            warnings.insert(Warning::new(owner(), field, net, reason));
            return false;
        }
        self.permit(net, owner, field, warnings)
    }

    /// The exceptions inside the closed networks: the networks of the host, its own pods, Service CIDRs, and the rest.
    fn inside_closed(&self, closed: &BTreeSet<IpNet>) -> BTreeSet<IpNet> {
        let nets: Vec<IpNet> = closed.iter().copied().collect();
        let own = self.own_pods.iter().chain(&self.services).copied();
        let own = own.filter(|exception| nets.iter().any(|net| net.contains(exception)));
        own.chain(self.inside(&nets, &[])).collect()
    }

    /// The exceptions inside these networks, and the networks of the host inside these ranges of the cluster.
    fn inside(&self, nets: &[IpNet], ranges: &[IpNet]) -> BTreeSet<IpNet> {
        let is_inside = |exception: &IpNet, all: &[IpNet]| all.iter().any(|net| net.contains(exception));
        let host = self.host.all().filter(|network| is_inside(network, nets) || is_inside(network, ranges));
        let addresses = self.addresses.iter().chain(&self.location).copied().map(host_net);
        let others = addresses.chain(self.exits.iter().copied()).filter(|exception| is_inside(exception, nets));
        host.chain(others).collect()
    }
}

/// Addresses at which gateways and outside peers are dialled, and those of the API server.
///
/// A node behind a gateway is never dialled: its internal addresses are carried even if its agent advertises them as endpoints.
fn dialled_addresses(resolved: &Resolved<'_>) -> BTreeSet<IpAddr> {
    let settings = resolved.settings;
    let gateways = resolved.members.iter().filter(|member| member.carrier == Some(member.index));
    let endpoints = gateways.flat_map(|member| member.endpoints.iter().copied());
    let outside = resolved.outside.iter().filter_map(|outside| outside.peer.endpoint.as_ref());
    let dialled = endpoints.chain(outside).flat_map(|endpoint| addresses_of(settings, endpoint));
    settings.local.api_servers.iter().copied().chain(dialled).collect()
}

/// The addresses of an endpoint, as far as this node knows them.
pub(super) fn addresses_of(settings: &Settings, endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    let (address, name) = match &endpoint.host {
        Host::Address(address) => (Some(*address), None),
        Host::Name(name) => (None, settings.local.resolved.get(name)),
    };
    address.into_iter().chain(name.into_iter().flatten().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sort_key_orders_networks_as_their_type_does() {
        let nets = [
            "0.0.0.0/0",
            "9.255.0.0/16",
            "10.0.0.0/8",
            "10.0.0.0/24",
            "10.0.0.1/32",
            "255.0.0.0/8",
            "::/0",
            "fd00::/8",
            "fd00::/64",
        ];
        let nets = nets.map(|net| net.parse::<IpNet>().unwrap());
        assert!(nets.is_sorted());
        assert!(nets.is_sorted_by_key(order));
    }
}
