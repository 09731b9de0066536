//! Networks and addresses that the mesh never carries.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::host_networks::{HostNetwork, HostNetworks};
use crate::constants::metadata_services;
use crate::model::{Endpoint, Host, InternalAddresses, Settings, host_net};
use crate::resolve::{Member, Resolved};
use crate::{ObjectName, Warning, WarningReason};

/// Networks and addresses that the mesh never carries.
pub(super) struct Exceptions<'r> {
    /// The networks that the host is attached to.
    pub(super) host: HostNetworks<'r>,
    /// This node's pod CIDRs.
    own_pods: Vec<IpNet>,
    /// Networks of Service addresses, which the host translates.
    services: Vec<IpNet>,
    /// Networks of the location that leave the mesh at this node.
    exits: Vec<IpNet>,
    /// Internal addresses of the own location.
    location: Vec<Neighbour<'r>>,
    /// Addresses of endpoints that people set, and those of the API server and of clouds' metadata services.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Those of [`Self::addresses`] by which this node reaches the API server.
    api_servers: &'r BTreeSet<IpAddr>,
    /// Those of [`Self::addresses`] that only this node knows: of the API server, and of domain names.
    known_here: BTreeSet<IpAddr>,
}

/// An internal address of the own location.
struct Neighbour<'r> {
    member: &'r Member<'r>,
    address: IpAddr,
    /// Whether this node itself has the address, or people set it.
    is_certain: bool,
}

impl<'r> Exceptions<'r> {
    pub(super) fn new(
        resolved: &'r Resolved<'_>,
        me: &'r Member<'_>,
        closed: &BTreeSet<IpNet>,
        former: &BTreeSet<IpNet>,
    ) -> Self {
        let location = resolved.location_of(me).members.iter().map(|index| resolved.at(*index));
        let neighbours = |member: &'r Member<'r>| {
            let is_forced = matches!(member.node.internal_addresses, InternalAddresses::Forced(_));
            let is_certain = is_forced || member.index == me.index;
            let addresses = member.internal_addresses.iter().map(IpNet::addr);
            addresses.map(move |address| Neighbour { member, address, is_certain })
        };
        let location = location.flat_map(neighbours).collect();
        Self {
            host: HostNetworks::new(resolved, me),
            own_pods: me.pod_cidrs.clone(),
            services: resolved.settings.service_cidrs.iter().map(IpNet::trunc).collect(),
            exits: me.exit_cidrs.clone(),
            location,
            addresses: addresses_set_by_people(resolved, closed, former),
            api_servers: &resolved.settings.local.api_servers,
            known_here: addresses_known_here(resolved.settings),
        }
    }

    /// The network in which this node reaches an internal address outside the mesh, if it does and other nodes cannot know it.
    pub(super) fn outside_mesh(&self, address: &IpNet) -> Option<IpNet> {
        let is_known_here = self.known_here.contains(&address.addr());
        self.host.containing(address).map(|host| host.net()).or(is_known_here.then_some(*address))
    }

    /// Whether this is an address of the API server alone.
    pub(super) fn is_api_server(&self, net: &IpNet) -> bool {
        host_net(net.addr()) == *net && self.api_servers.contains(&net.addr())
    }

    /// The addresses of the API server inside a network.
    pub(super) fn api_servers_inside(&self, net: &IpNet) -> impl Iterator<Item = IpNet> {
        self.api_servers.iter().filter(|server| net.contains(*server)).copied().map(host_net)
    }

    /// Whether a network is an exception as a whole.
    pub(super) fn include(&self, net: &IpNet) -> bool {
        self.is_excepted_address(net) || self.host.containing(net).is_some()
    }

    /// Whether a network is a single address that is an exception.
    fn is_excepted_address(&self, net: &IpNet) -> bool {
        host_net(net.addr()) == *net && self.addresses.contains(&net.addr())
    }

    /// Whether a network may be routed on this node: not if a network of the host contains it.
    pub(super) fn permit(
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
    pub(super) fn permit_named(
        &self,
        net: IpNet,
        owner: impl FnOnce() -> ObjectName,
        field: &str,
        warnings: &mut BTreeSet<Warning>,
    ) -> bool {
        if self.is_excepted_address(&net) {
            warnings.insert(excepted_address(net, owner(), field));
            return false;
        }
        self.permit(net, owner, field, warnings)
    }

    /// The exceptions inside the closed networks: the networks of the host, its own pods, Service CIDRs, and the rest.
    pub(super) fn inside_closed(&self, closed: &BTreeSet<IpNet>, warnings: &mut BTreeSet<Warning>) -> BTreeSet<IpNet> {
        let nets: Vec<IpNet> = closed.iter().copied().collect();
        let own = self.own_pods.iter().chain(&self.services).copied();
        let own = own.filter(|exception| nets.iter().any(|net| net.contains(exception)));
        own.chain(self.inside(&nets, warnings)).collect()
    }

    /// The exceptions inside these networks.
    pub(super) fn inside(&self, nets: &[IpNet], warnings: &mut BTreeSet<Warning>) -> BTreeSet<IpNet> {
        let is_inside = |exception: &IpNet| nets.iter().any(|net| net.contains(exception));
        let addresses = self.addresses.iter().copied().map(host_net);
        let others = self.host.all().chain(addresses).chain(self.exits.iter().copied()).filter(is_inside);
        let neighbours = self.location.iter().filter(|neighbour| self.is_excepted(neighbour, nets, warnings));
        let neighbours: Vec<IpNet> = neighbours.map(|neighbour| host_net(neighbour.address)).collect();
        others.chain(neighbours).collect()
    }

    /// Whether an internal address of the own location is an exception in these networks. An agent can claim any address. So its word alone takes
    /// no address out of a network in which the location has no other address.
    fn is_excepted(&self, neighbour: &Neighbour<'_>, nets: &[IpNet], warnings: &mut BTreeSet<Warning>) -> bool {
        let mut around = nets.iter().filter(|net| net.contains(&neighbour.address)).peekable();
        if around.peek().is_none() {
            return false;
        }
        // People declare the networks of a node's location: the node may well stand in one of them.
        let is_declared = neighbour.member.exit_cidrs.iter().any(|net| net.contains(&neighbour.address));
        if neighbour.is_certain || is_declared || self.host.containing(&host_net(neighbour.address)).is_some() {
            return true;
        }
        let is_other = |other: &&Neighbour<'_>| other.member.index != neighbour.member.index;
        let has_others = |net: &IpNet| self.location.iter().filter(is_other).any(|other| net.contains(&other.address));
        let Some(net) = around.find(|net| !has_others(net)) else { return true };
        let reason = WarningReason::OverlapsCluster(format!(
            "the network {net}, which contains no other internal address of its location"
        ));
        warnings.insert(Warning::new(
            neighbour.member.object(),
            "advertised-internal-addresses",
            neighbour.address,
            reason,
        ));
        false
    }
}

/// The addresses of endpoints that people set for gateways and outside peers, and those of the API server and of clouds' metadata services.
///
/// An address of the cluster's pods does not count. Neither does another node's internal address that a name resolves to, also if the node is gone:
/// people set the name, but not the address.
fn addresses_set_by_people(
    resolved: &Resolved<'_>,
    closed: &BTreeSet<IpNet>,
    former: &BTreeSet<IpNet>,
) -> BTreeSet<IpAddr> {
    let settings = resolved.settings;
    let gateways = resolved.members.iter().filter(|member| member.carrier == Some(member.index));
    let nodes = gateways.filter_map(|member| Some((Some(member.index), member.node.endpoint.as_ref()?)));
    let outside = resolved.outside.iter().filter_map(|outside| Some((None, outside.peer.endpoint.as_ref()?)));
    let mut addresses = settings.local.api_servers.clone();
    addresses.extend(metadata_services());
    for (owner, endpoint) in nodes.chain(outside) {
        let is_pod = |address: &IpAddr| {
            let pod_cidrs = resolved.members.iter().flat_map(|member| &member.pod_cidrs);
            closed.iter().chain(pod_cidrs).any(|cidr| cidr.contains(address))
        };
        let is_of_other = |address: &IpAddr| {
            let others = resolved.members.iter().filter(|member| Some(member.index) != owner);
            others.flat_map(|member| &member.internal_addresses).any(|net| net.addr() == *address)
                || former.contains(&host_net(*address))
        };
        let is_literal = endpoint.address().is_some();
        let counts = |address: &IpAddr| !is_pod(address) && (is_literal || !is_of_other(address));
        addresses.extend(addresses_of(settings, endpoint).filter(counts));
    }
    addresses
}

/// Whether other locations dial a gateway at this internal address of its own: they reach the address without the mesh.
///
/// The agent's word is enough for that where the address is of no concern to others: no other node claims it, and it is in no network that
/// people gave to a location or a Peer.
pub(super) fn is_interconnect(resolved: &Resolved<'_>, gateway: &Member<'_>, address: IpAddr) -> bool {
    let contains = |net: &IpNet| net.contains(&address);
    gateway.carrier == Some(gateway.index)
        && gateway.endpoints.iter().any(|endpoint| endpoint.address() == Some(address))
        && !resolved.contested_addresses.contains(&address)
        && !resolved.members.iter().flat_map(|member| &member.owned_cidrs).any(contains)
        && !resolved.outside_networks.values().flatten().any(|(net, _)| contains(net))
}

fn addresses_known_here(settings: &Settings) -> BTreeSet<IpAddr> {
    settings.local.api_servers.iter().chain(settings.local.resolved.values().flatten()).copied().collect()
}

/// The addresses of an endpoint, as far as this node knows them.
pub(super) fn addresses_of(settings: &Settings, endpoint: &Endpoint) -> impl Iterator<Item = IpAddr> {
    let (address, name) = match &endpoint.host {
        Host::Address(address) => (Some(*address), None),
        Host::Name(name) => (None, settings.local.resolved.get(name)),
    };
    address.into_iter().chain(name.into_iter().flatten().copied())
}

pub(super) fn refused(net: IpNet, host: HostNetwork<'_>, owner: ObjectName, field: &str) -> Warning {
    Warning::new(owner, field, net, host.reason())
}

pub(super) fn excepted_address(net: IpNet, owner: ObjectName, field: &str) -> Warning {
    let with = "an endpoint, the API server or a cloud's metadata service".to_owned();
    Warning::new(owner, field, net, WarningReason::OverlapsCluster(with))
}
