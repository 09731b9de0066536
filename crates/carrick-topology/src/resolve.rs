//! Settles every claim and every role once, alike on all nodes, before a plan is built for one of them.

mod carrier_change;
mod claims;
mod gateway;
mod location;
mod member;
mod outside;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

pub(crate) use carrier_change::CarrierChange;
pub(crate) use location::Location;
pub(crate) use member::{Member, MemberIndex};
pub(crate) use outside::OutsidePeer;
pub(crate) use tunnel::{Tunnel, dialled_endpoint};

use crate::Warning;
use crate::model::{Cluster, Decapsulation, Liveness, NodeName, PeerName, Settings};

/// The cluster with all conflicts settled, all locations formed and all gateways chosen.
pub(crate) struct Resolved<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) settings: &'a Settings,
    /// The nodes that take part in the mesh, by name.
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) locations: Vec<Location>,
    /// The outside peers that some node serves, by name.
    pub(crate) outside: Vec<OutsidePeer<'a>>,
    /// What they add to the networks behind their serving nodes.
    pub(crate) outside_networks: BTreeMap<MemberIndex, Vec<(IpNet, &'a PeerName)>>,
    /// While gateways return: who carries for whom before and after.
    pub(crate) carrier_change: Option<CarrierChange>,
    /// Gateways that take encapsulated what this node forwards to them.
    pub(crate) decapsulating: BTreeMap<MemberIndex, Decapsulation>,
    /// Gateways that may relay between two other locations.
    relays: Vec<MemberIndex>,
    pub(crate) warnings: BTreeSet<Warning>,
}

impl<'a> Resolved<'a> {
    pub(crate) fn new(cluster: &'a Cluster, settings: &'a Settings, liveness: &Liveness) -> Self {
        let mut warnings = cluster.warnings.clone();
        let (mut members, mut claims) = member::admit(cluster, settings, &mut warnings);
        let mut locations = location::form(&mut members, &mut warnings);
        gateway::choose(&members, &mut locations, settings, liveness, &mut warnings);
        gateway::assign(&mut members, &locations, settings);
        member::settle_allowed_location_cidrs(&mut members, &mut claims, &mut warnings);
        let relays = tunnel::relay_candidates(&members, &locations, settings, liveness);
        let outside = outside::admit(cluster, &members, &locations, &mut claims, &mut warnings);
        let outside_networks = outside::networks_by_server(&outside);
        let carrier_change = CarrierChange::of(&members, &locations, &outside, settings, liveness);
        let decapsulating =
            liveness.decapsulating.iter().filter_map(|(name, how)| Some((index(&members, name)?, *how))).collect();
        Self {
            decapsulating,
            cluster,
            settings,
            members,
            locations,
            outside,
            outside_networks,
            carrier_change,
            relays,
            warnings,
        }
    }

    /// The member of this name, if the node takes part in the mesh.
    pub(crate) fn member(&self, name: &NodeName) -> Option<&Member<'a>> {
        index(&self.members, name).map(|index| self.at(index))
    }

    /// The member at this index.
    pub(crate) fn at(&self, index: MemberIndex) -> &Member<'a> {
        &self.members[index.0]
    }

    /// The location that a member stands in.
    pub(crate) fn location_of(&self, member: &Member<'_>) -> &Location {
        &self.locations[member.location.0]
    }
}

fn index(members: &[Member<'_>], name: &NodeName) -> Option<MemberIndex> {
    members.binary_search_by(|member| member.node.name.cmp(name)).ok().map(MemberIndex)
}
