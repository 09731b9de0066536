//! Which networks the mesh carries for one node, and by which hop.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::cluster_networks::closed_networks;
use super::hops::Hop;
use super::host_networks::{HostNetwork, HostNetworks};
use crate::constants::metadata_services;
use crate::model::{Endpoint, Host, InternalAddresses, Settings, host_net};
use crate::resolve::{Member, MemberIndex, MemberNetwork, NetworkKind, Resolved, order};
use crate::{ObjectName, Warning, WarningReason};

/// One network that the mesh carries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Destination {
    pub(super) net: IpNet,
    pub(super) hop: Hop,
    /// Whether it is in another location.
    pub(super) is_remote: bool,
    pub(super) holds: Holds,
}

/// What a network that the mesh carries holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// The mesh address of a node.
    MeshAddress,
    /// An internal address of this node.
    InternalAddress(MemberIndex),
    /// Anything else.
    Others,
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
    /// Networks with internal addresses of other locations that are reached outside the mesh, as far as other nodes cannot know that.
    pub(super) outside_mesh: BTreeSet<IpNet>,
}

impl Destinations {
    pub(super) fn new(
        resolved: &Resolved<'_>,
        me: &Member<'_>,
        hops: &[Hop],
        warnings: &mut BTreeSet<Warning>,
    ) -> Self {
        let closed_networks = closed_networks(resolved);
        let exceptions = Exceptions::new(resolved, me, &closed_networks);
        let mesh_cidrs = &resolved.settings.mesh_cidrs;
        // At first the networks of the host and the API servers inside networks that the cluster itself has.
        let mut direct = BTreeSet::new();
        for cidr in mesh_cidrs {
            let cidr = cidr.trunc();
            for host in exceptions.host.inside(&cidr) {
                warnings.insert(refused(cidr, host, me.object(), "mesh-cidr"));
                direct.insert(host.net());
            }
            direct.extend(exceptions.api_servers_inside(&cidr));
            warnings.extend(exceptions.host.around(&cidr).map(|host| {
                Warning::new(me.object(), "mesh-cidr", cidr, WarningReason::PartOfOwnSubnet(host.in_words()))
            }));
        }
        let mut outside_mesh = BTreeSet::new();
        let mut closed = BTreeSet::new();
        for cidr in closed_networks {
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

        let mut carried = Vec::with_capacity(resolved.networks.len());
        for MemberNetwork { net, member, kind } in resolved.networks.iter().copied() {
            if member == me.index {
                continue;
            }
            let other = resolved.at(member);
            let is_remote = other.location != me.location;
            let hop = hops[member.0];
            match kind {
                NetworkKind::Pods => {
                    if exceptions.is_api_server(&net) {
                        warnings.insert(excepted_address(net, other.object(), "pod-cidrs"));
                        continue;
                    }
                    if let Some(host) = exceptions.host.containing_pods(&net) {
                        warnings.insert(refused(net, host, other.object(), "pod-cidrs"));
                        continue;
                    }
                    for host in exceptions.host.inside(&net) {
                        warnings.insert(refused(net, host, other.object(), "pod-cidrs"));
                        direct.insert(host.net());
                    }
                    direct.extend(exceptions.api_servers_inside(&net));
                    carried.push(Destination { net, hop: hop.to_networks(), is_remote, holds: Holds::Others });
                }
                NetworkKind::MeshAddress => {
                    match exceptions.host.containing_mesh_address(&net.addr(), mesh_cidrs.iter()) {
                        Some(host) => {
                            warnings.insert(refused(net, host, other.object(), "mesh-addresses"));
                        }
                        None => {
                            let hop = hop.to_mesh_addresses(member);
                            carried.push(Destination { net, hop, is_remote, holds: Holds::MeshAddress });
                        }
                    }
                }
                NetworkKind::InternalAddress if is_remote => {
                    outside_mesh.extend(exceptions.outside_mesh(&net));
                    if !exceptions.addresses.contains(&net.addr())
                        && !is_interconnect(resolved, other, net.addr())
                        && exceptions.permit(net, || other.object(), "internal-addresses", warnings)
                    {
                        let holds = Holds::InternalAddress(member);
                        carried.push(Destination { net, hop: hop.to_networks(), is_remote, holds });
                    }
                }
                NetworkKind::InternalAddress => {}
            }
        }
        // Networks that operators set, which can be wide enough to contain an exception.
        let mut wide: Vec<IpNet> = Vec::new();
        for (other, hop) in resolved.members.iter().zip(hops) {
            let is_remote = other.location != me.location;
            let is_me = other.index == me.index;
            let mut carry = |net, hop| {
                carried.push(Destination { net, hop, is_remote, holds: Holds::Others });
                wide.push(net);
            };
            for cidr in other.owned_cidrs.iter().filter(|cidr| !is_me && !me.exit_cidrs.contains(cidr)) {
                if exceptions.permit_named(*cidr, || other.object(), "allowed-location-cidrs", warnings) {
                    carry(*cidr, hop.to_networks());
                }
            }
            let hop = if is_me { Hop::Tunnel(me.index) } else { hop.to_networks() };
            for (net, peer) in resolved.outside_networks.get(&other.index).into_iter().flatten() {
                let owner = || ObjectName::Peer((*peer).clone());
                if exceptions.permit_named(*net, owner, "allowedIPs", warnings) {
                    carry(*net, hop);
                }
            }
        }
        for (net, peer) in &resolved.unserved_networks {
            let owner = || ObjectName::Peer((*peer).clone());
            if exceptions.permit_named(*net, owner, "allowedIPs", warnings) {
                carried.push(Destination { net: *net, hop: Hop::Nowhere, is_remote: true, holds: Holds::Others });
                wide.push(*net);
            }
        }
        // One long sorted run, and a few destinations after it: the stable sort merges the two.
        carried.sort_by_key(|destination| order(&destination.net));
        direct.extend(exceptions.inside(&wide, warnings));
        direct.extend(exceptions.inside_closed(&closed, warnings));
        Self { carried, closed, direct, outside_mesh }
    }

    /// Whether the mesh carries this very network.
    pub(super) fn carries(&self, net: &IpNet) -> bool {
        self.carried.binary_search_by_key(&order(net), |destination| order(&destination.net)).is_ok()
    }
}

fn refused(net: IpNet, host: HostNetwork<'_>, owner: ObjectName, field: &str) -> Warning {
    Warning::new(owner, field, net, host.reason())
}

fn excepted_address(net: IpNet, owner: ObjectName, field: &str) -> Warning {
    let with = "an endpoint, the API server or a cloud's metadata service".to_owned();
    Warning::new(owner, field, net, WarningReason::OverlapsCluster(with))
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
    location: Vec<Neighbour<'r>>,
    /// Addresses of endpoints that people set, and those of the API server and of clouds' metadata services.
    addresses: BTreeSet<IpAddr>,
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
    fn new(resolved: &'r Resolved<'_>, me: &'r Member<'_>, closed: &BTreeSet<IpNet>) -> Self {
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
            addresses: addresses_set_by_people(resolved, closed),
            api_servers: &resolved.settings.local.api_servers,
            known_here: addresses_known_here(resolved.settings),
        }
    }

    /// The network in which this node reaches an internal address outside the mesh, if it does and other nodes cannot know it.
    fn outside_mesh(&self, address: &IpNet) -> Option<IpNet> {
        let is_known_here = self.known_here.contains(&address.addr());
        self.host.containing(address).map(|host| host.net()).or(is_known_here.then_some(*address))
    }

    /// Whether this is an address of the API server alone.
    fn is_api_server(&self, net: &IpNet) -> bool {
        host_net(net.addr()) == *net && self.api_servers.contains(&net.addr())
    }

    /// The addresses of the API server inside a network.
    fn api_servers_inside(&self, net: &IpNet) -> impl Iterator<Item = IpNet> {
        self.api_servers.iter().filter(|server| net.contains(*server)).copied().map(host_net)
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
            warnings.insert(excepted_address(net, owner(), field));
            return false;
        }
        self.permit(net, owner, field, warnings)
    }

    /// The exceptions inside the closed networks: the networks of the host, its own pods, Service CIDRs, and the rest.
    fn inside_closed(&self, closed: &BTreeSet<IpNet>, warnings: &mut BTreeSet<Warning>) -> BTreeSet<IpNet> {
        let nets: Vec<IpNet> = closed.iter().copied().collect();
        let own = self.own_pods.iter().chain(&self.services).copied();
        let own = own.filter(|exception| nets.iter().any(|net| net.contains(exception)));
        own.chain(self.inside(&nets, warnings)).collect()
    }

    /// The exceptions inside these networks.
    fn inside(&self, nets: &[IpNet], warnings: &mut BTreeSet<Warning>) -> BTreeSet<IpNet> {
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
/// An address of the cluster's pods does not count. Neither does another node's internal address that a name resolves to: people set the name, but
/// not the address.
fn addresses_set_by_people(resolved: &Resolved<'_>, closed: &BTreeSet<IpNet>) -> BTreeSet<IpAddr> {
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
fn is_interconnect(resolved: &Resolved<'_>, gateway: &Member<'_>, address: IpAddr) -> bool {
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
