//! Which source address the host's own packets to nodes of other locations have.
//!
//! Packets to a node's internal address have this node's internal address as source, as they would in one location: allow-lists and policies
//! name nodes by it. The answer comes back only if every node on the way has a route through the mesh to that address. A node that reaches the
//! address outside the mesh, because a network of its host has the same numbers, publishes the network. Packets to it keep the mesh address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::destinations::{Destinations, Holds};
use crate::model::{Family, host_net};
use crate::resolve::{Member, MemberIndex, Resolved, Tunnel};
use crate::{Warning, WarningReason};

/// The source address of the host's own packets to each internal address where it is not the mesh address.
#[derive(Debug, Default)]
pub(super) struct HostSources {
    /// The first internal address of each family that an interface carries.
    own: BTreeMap<Family, IpAddr>,
    by_destination: BTreeMap<IpNet, IpAddr>,
}

impl HostSources {
    pub(super) fn new(
        resolved: &Resolved<'_>,
        me: &Member<'_>,
        destinations: &Destinations,
        warnings: &mut BTreeSet<Warning>,
    ) -> Self {
        let own = |family| own_address(resolved, me, family);
        let own: BTreeMap<Family, IpAddr> =
            Family::BOTH.into_iter().filter_map(|family| Some((family, own(family)?))).collect();
        let dialled = dialled_addresses(resolved);
        let mut answers = Answers { resolved, me, relays: BTreeMap::new() };
        let mut by_destination = BTreeMap::new();
        for destination in &destinations.carried {
            let Holds::InternalAddress(node) = destination.holds else { continue };
            let source = own.get(&Family::of_net(&destination.net)).filter(|source| !dialled.contains(source));
            let Some(source) = source else { continue };
            match answers.come_back(node, *source) {
                Answer::ComesBack => {
                    by_destination.insert(destination.net, *source);
                }
                Answer::Unknown => {}
                Answer::LeavesMesh { at, network } => {
                    let reason = WarningReason::MeshAddressTowards {
                        location: resolved.location_of(resolved.at(node)).name.clone(),
                        node: resolved.at(at).node.name.clone(),
                        network,
                    };
                    warnings.insert(Warning::new(me.object(), "internal-addresses", source, reason));
                }
            }
        }
        Self { own, by_destination }
    }

    /// The internal address that packets to this destination have as source; `None` if they have the mesh address.
    pub(super) fn towards(&self, destination: &IpNet) -> Option<IpAddr> {
        self.by_destination.get(destination).copied()
    }

    /// This node's internal addresses, at most one for each family.
    pub(super) fn own(&self) -> impl Iterator<Item = IpAddr> {
        self.own.values().copied()
    }

    /// The addresses to which packets have an internal address as source.
    pub(super) fn destinations(&self) -> impl Iterator<Item = IpAddr> {
        self.by_destination.keys().map(IpNet::addr)
    }
}

/// The node's first internal address of a family that an interface carries.
fn own_address(resolved: &Resolved<'_>, me: &Member<'_>, family: Family) -> Option<IpAddr> {
    let devices = &resolved.settings.local.internal_devices;
    let addresses = me.internal_addresses.iter().map(IpNet::addr);
    addresses.filter(|address| Family::of(address) == family).find(|address| devices.contains_key(address))
}

/// Addresses at which all nodes dial tunnels, which no route of the mesh leads to.
fn dialled_addresses(resolved: &Resolved<'_>) -> BTreeSet<IpAddr> {
    let gateways = resolved.members.iter().filter(|member| member.carrier == Some(member.index));
    let endpoints = gateways.flat_map(|member| member.endpoints.iter().copied());
    let outside = resolved.outside.iter().filter_map(|outside| outside.peer.endpoint.as_ref());
    endpoints.chain(outside).filter_map(|endpoint| endpoint.address()).collect()
}

/// What becomes of answers to an address of this node.
enum Answer {
    /// They come back through the mesh.
    ComesBack,
    /// They leave the mesh at this node, which reaches the address in this network.
    LeavesMesh { at: MemberIndex, network: IpNet },
    /// The agent of a node on the way is too old to say it.
    Unknown,
}

struct Answers<'r> {
    resolved: &'r Resolved<'r>,
    me: &'r Member<'r>,
    /// The relay between this node's gateway and another gateway.
    relays: BTreeMap<MemberIndex, Option<MemberIndex>>,
}

impl Answers<'_> {
    fn come_back(&mut self, from: MemberIndex, to: IpAddr) -> Answer {
        let carrier = self.resolved.at(from).carrier;
        let relay = carrier.and_then(|carrier| self.relay(carrier));
        let to = host_net(to);
        for on_the_way in [Some(from), carrier, relay].into_iter().flatten() {
            let agent = self.resolved.at(on_the_way).node.agent.as_ref();
            let Some(agent) = agent.filter(|agent| agent.tells_outside_mesh()) else { return Answer::Unknown };
            if let Some(network) = agent.outside_mesh.iter().find(|network| network.contains(&to)) {
                return Answer::LeavesMesh { at: on_the_way, network: *network };
            }
        }
        Answer::ComesBack
    }

    fn relay(&mut self, carrier: MemberIndex) -> Option<MemberIndex> {
        let (resolved, own) = (self.resolved, self.me.carrier?);
        *self.relays.entry(carrier).or_insert_with(|| match resolved.tunnel(own, carrier) {
            Tunnel::Relay(relay) => Some(relay),
            Tunnel::Direct | Tunnel::None => None,
        })
    }
}
