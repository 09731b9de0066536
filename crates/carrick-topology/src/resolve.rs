//! Decides every claim and every role of the cluster, with the same result on all nodes. A plan is then built for one node.

mod assignment;
mod claims;
mod gateway;
mod gateway_rule;
mod index;
mod location;
mod member;
mod outside;
mod relay;
mod shared_endpoints;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

pub(crate) use assignment::Assignment;
pub(crate) use gateway_rule::GatewayRule;
pub(crate) use index::MemberIndex;
pub(crate) use location::Location;
pub(crate) use member::{Member, PUBLIC_KEY_FIELD};
pub(crate) use outside::OutsidePeer;
pub(crate) use shared_endpoints::warn_of_own;
pub(crate) use tunnel::{Tunnel, dialled_endpoint};

use crate::model::{Cluster, NodeName, PeerName, Settings};
use crate::{Liveness, Warning};

/// The cluster with all conflicts decided, all locations formed and all gateways chosen.
pub(crate) struct Resolved<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) settings: &'a Settings,
    /// The members of the mesh, sorted by name.
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) locations: Vec<Location>,
    /// The outside peers that a node serves, sorted by name.
    pub(crate) outside: Vec<OutsidePeer<'a>>,
    /// The networks of the outside peers, by the node that serves them.
    pub(crate) outside_networks: BTreeMap<MemberIndex, Vec<(IpNet, &'a PeerName)>>,
    /// Gateways that may relay between two other locations.
    relays: relay::Relays,
    pub(crate) warnings: BTreeSet<Warning>,
}

impl<'a> Resolved<'a> {
    pub(crate) fn new(cluster: &'a Cluster, settings: &'a Settings, liveness: &Liveness) -> Self {
        let mut warnings = cluster.warnings.clone();
        let (mut members, mut claims) = member::admit(cluster, settings, &mut warnings);
        shared_endpoints::demote(&mut members, &mut warnings);
        let mut locations = location::form(&mut members, &mut warnings);
        gateway::choose(&members, &mut locations, settings, liveness, &mut warnings);
        gateway::assign(&mut members, &locations, settings);
        member::settle_allowed_location_cidrs(&mut members, settings, &mut claims, &mut warnings);
        let relays = relay::candidates(&members, &locations, settings, liveness);
        let outside = outside::admit(cluster, &members, &locations, &mut claims, &mut warnings);
        let outside_networks = outside::networks_by_server(&outside);
        Self { cluster, settings, members, locations, outside, outside_networks, relays, warnings }
    }

    /// The rule by which gateways are chosen.
    pub(crate) fn gateway_rule(&self) -> GatewayRule {
        GatewayRule::of(&self.members)
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
