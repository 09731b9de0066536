//! Which nodes form a location.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{LocationIndex, MemberIndex};
use super::member::Member;
use crate::model::{Family, LocationName};
use crate::{Warning, WarningReason};

/// Nodes that reach each other directly, or one node that is alone.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) name: LocationName,
    pub(crate) alone: bool,
    /// The family in which the members reach each other: all of them have an internal address of it.
    pub(crate) underlay: Family,
    pub(crate) members: Vec<MemberIndex>,
    /// Gateways that carry traffic, each in the slot of a first-ranked node.
    pub(crate) active: Vec<ActiveGateway>,
    pub(crate) standby: Vec<MemberIndex>,
    /// Nodes that would be active or standby gateways if they were not down. They keep their own tunnels, so that other nodes can probe
    /// them.
    pub(crate) down: Vec<MemberIndex>,
}

/// One of the slots into which the location's traffic is divided.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActiveGateway {
    /// The first-ranked node that names the slot. The nodes are spread by this name, so that another holder carries exactly its share.
    pub(crate) slot: MemberIndex,
    /// The live node that carries its share: the node itself, or another one while the node is down.
    pub(crate) holder: MemberIndex,
}

impl Location {
    fn new(name: LocationName, alone: bool, underlay: Family, members: Vec<MemberIndex>) -> Self {
        Self { name, alone, underlay, members, active: Vec::new(), standby: Vec::new(), down: Vec::new() }
    }

    /// The same location before its gateways are chosen.
    pub(super) fn unassigned(&self) -> Self {
        Self::new(self.name.clone(), self.alone, self.underlay, self.members.clone())
    }

    /// A live node holds its own slot. The next substitute holds the slot of each other one.
    pub(super) fn fill_slots(
        &mut self,
        slots: &[MemberIndex],
        is_live: impl Fn(&MemberIndex) -> bool,
        substitutes: &mut impl Iterator<Item = MemberIndex>,
    ) {
        for slot in slots.iter().copied() {
            let holder = if is_live(&slot) { Some(slot) } else { substitutes.next() };
            self.active.extend(holder.map(|holder| ActiveGateway { slot, holder }));
        }
    }

    pub(crate) fn is_gateway(&self, member: MemberIndex) -> bool {
        self.is_active(member) || self.standby.contains(&member) || self.down.contains(&member)
    }

    /// Active gateways in their own slot, then active gateways in the slot of another node, then standby gateways.
    pub(crate) fn gateways_by_rank(&self) -> impl Iterator<Item = MemberIndex> {
        let is_substitute = |gateway: &&ActiveGateway| gateway.holder != gateway.slot;
        let own = self.active.iter().filter(move |gateway| !is_substitute(gateway));
        let stand_ins = self.active.iter().filter(is_substitute);
        own.chain(stand_ins).map(|gateway| gateway.holder).chain(self.standby.iter().copied())
    }

    pub(crate) fn is_active(&self, member: MemberIndex) -> bool {
        self.active.iter().any(|gateway| gateway.holder == member)
    }
}

/// Forms the locations. Nodes with the same location name are together if they have an internal address of the family that most of them
/// have. The others are alone.
pub(super) fn form(members: &mut [Member<'_>], warnings: &mut BTreeSet<Warning>) -> Vec<Location> {
    let mut by_name: BTreeMap<LocationName, Vec<MemberIndex>> = BTreeMap::new();
    for member in members.iter() {
        by_name.entry(member.node.location_name()).or_default().push(member.index);
    }
    let mut locations = Vec::new();
    for (name, all) in by_name {
        let underlay = underlay_family(members, &all);
        let (together, alone): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|index| members[index.0].internal_address(underlay).is_some());
        for index in &alone {
            let member = &members[index.0];
            if !member.internal_addresses.is_empty() {
                let addresses = member.internal_addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                let reason = WarningReason::ForeignUnderlayFamily;
                warnings.insert(Warning::new(member.object(), "internal-addresses", addresses, reason));
            }
        }
        if !together.is_empty() {
            locations.push(Location::new(name.clone(), false, underlay, together));
        }
        locations.extend(alone.into_iter().map(|index| Location::new(name.clone(), true, underlay, vec![index])));
    }
    for (index, location) in locations.iter().enumerate() {
        for member in &location.members {
            members[member.0].location = LocationIndex(index);
        }
    }
    locations
}

/// The family of which most nodes have an internal address; IPv4 if both families have as many.
fn underlay_family(members: &[Member<'_>], all: &[MemberIndex]) -> Family {
    let count = |family| all.iter().filter(|index| members[index.0].internal_address(family).is_some()).count();
    if count(Family::V6) > count(Family::V4) { Family::V6 } else { Family::V4 }
}
