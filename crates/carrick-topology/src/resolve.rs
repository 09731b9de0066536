//! Decides every claim and every role of the cluster, with the same result on all nodes. A plan is then built for one node.

mod allowed_location;
mod assignment;
mod broken_tunnels;
mod bypass;
mod claims;
mod endpoints;
mod gateway;
mod index;
mod keys;
mod location;
mod member;
mod networks;
mod outranked;
mod outside;
mod relay;
mod shared_endpoints;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

pub(crate) use assignment::Assignment;
pub(crate) use index::MemberIndex;
pub(crate) use keys::PUBLIC_KEY_FIELD;
pub(crate) use location::Location;
pub(crate) use member::{Member, refused_as_internal};
pub(crate) use networks::{MemberNetwork, NetworkKind, order};
pub(crate) use outside::OutsidePeer;
pub(crate) use shared_endpoints::warn_of_own;
pub(crate) use tunnel::{Tunnel, can_dial, dialled_endpoint, may_send_to};

use crate::model::{Cluster, NodeName, PeerName, Settings};
use crate::{Liveness, Warning};

/// The cluster with all conflicts decided, all locations formed and all gateways chosen.
pub(crate) struct Resolved<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) settings: &'a Settings,
    /// The members of the mesh, sorted by name.
    pub(crate) members: Vec<Member<'a>>,
    /// The pod CIDRs, mesh addresses and internal addresses of the members, sorted. No two are the same.
    pub(crate) networks: Vec<MemberNetwork>,
    pub(crate) locations: Vec<Location>,
    /// The outside peers that a node serves, sorted by name.
    pub(crate) outside: Vec<OutsidePeer<'a>>,
    /// The networks of the outside peers, by the node that serves them.
    pub(crate) outside_networks: BTreeMap<MemberIndex, Vec<(IpNet, &'a PeerName)>>,
    /// The networks of outside peers that no node serves.
    pub(crate) unserved_networks: Vec<(IpNet, &'a PeerName)>,
    /// Internal and mesh addresses that several nodes claim.
    pub(crate) contested_addresses: BTreeSet<IpAddr>,
    /// Gateways that may relay between two other locations.
    relays: relay::Relays,
    /// The tunnels of the planned node that are broken.
    broken: broken_tunnels::BrokenTunnels,
    pub(crate) warnings: BTreeSet<Warning>,
}

impl<'a> Resolved<'a> {
    pub(crate) fn new(cluster: &'a Cluster, settings: &'a Settings, liveness: &Liveness) -> Self {
        let mut warnings = cluster.warnings.clone();
        let (mut members, mut claims) = member::admit(cluster, settings, &mut warnings);
        outranked::yield_to_people(&mut members, cluster, settings, &mut claims, &mut warnings);
        endpoints::admit(&mut members, &claims, &mut warnings);
        shared_endpoints::demote(&mut members, &mut warnings);
        let mut locations = location::form(&mut members, &mut warnings);
        gateway::choose(&members, &mut locations, settings, liveness, &mut warnings);
        gateway::assign(&mut members, &locations, settings);
        allowed_location::settle(&mut members, settings, &mut claims, &mut warnings);
        let relays = relay::candidates(&members, &locations, settings, liveness);
        let outside::Admitted { served: outside, unserved_networks } =
            outside::admit(cluster, &members, &locations, &mut claims, &mut warnings);
        let outside_networks = outside::networks_by_server(&outside);
        let broken = broken_tunnels::BrokenTunnels::new(&members, settings, liveness);
        let networks = networks::sorted(&members, &claims);
        let contested_addresses = claims.addresses.contested();
        Self {
            cluster,
            settings,
            members,
            networks,
            locations,
            outside,
            outside_networks,
            unserved_networks,
            contested_addresses,
            relays,
            broken,
            warnings,
        }
    }

    /// The member of this name; `None` if the node is not a member of the mesh.
    pub(crate) fn member(&self, name: &NodeName) -> Option<&Member<'a>> {
        let index = self.members.binary_search_by(|member| member.node.name.cmp(name)).ok()?;
        Some(self.at(MemberIndex(index)))
    }

    /// The member at this index.
    pub(crate) fn at(&self, index: MemberIndex) -> &Member<'a> {
        &self.members[index.0]
    }

    /// The location of a member.
    pub(crate) fn location_of(&self, member: &Member<'_>) -> &Location {
        &self.locations[member.location.0]
    }
}
