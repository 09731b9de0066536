//! The rule by which all members of the mesh choose gateways while agents of two releases run.
//!
//! Two nodes that choose gateways by different rules drop each other's packets as soon as a gateway is down. So the plan follows the lowest
//! protocol of all members. [`GatewayRule::ReplaceEach`] is for clusters that upgrade from a release with protocol 2. It can go one release
//! after protocol 3, together with [`SilentLocations`](crate::plan::SilentLocations).

use super::index::MemberIndex;
use super::location::Location;
use super::member::Member;
use crate::Liveness;
use crate::model::Settings;

/// Agents of this protocol and later ones choose gateways by groups.
const GROUPS_SINCE: u32 = 3;

/// How the gateways of a location are chosen while some of them are down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GatewayRule {
    /// The first group of nodes that has a live one has the gateways.
    Groups,
    /// The next live node in rank replaces each gateway that is down: agents of protocol 2 and earlier ones.
    ReplaceEach,
}

impl GatewayRule {
    /// The rule that the agents of all members know. A member without a readable protocol does not count: its agent publishes the protocol
    /// together with the key, and is about to repair the value.
    pub(super) fn of(members: &[Member<'_>]) -> Self {
        let protocols = members.iter().filter_map(|member| member.node.agent.as_ref()).map(|agent| agent.protocol);
        match protocols.min() {
            Some(..GROUPS_SINCE) => Self::ReplaceEach,
            Some(GROUPS_SINCE..) | None => Self::Groups,
        }
    }
}

/// The first-ranked nodes hold the slots. If one of them is down, the next live node takes its slot, and a further one becomes standby gateway.
pub(super) fn replace_each_gateway(
    location: &mut Location,
    ranked: &[MemberIndex],
    members: &[Member<'_>],
    settings: &Settings,
    liveness: &Liveness,
) {
    let is_live = |index: &MemberIndex| liveness.is_live(&members[index.0].node.name);
    // If all nodes of a location are down, all of them count as live: there is no better choice.
    let none_is_live = !ranked.iter().any(is_live);
    let is_live = |index: &MemberIndex| none_is_live || is_live(index);

    let slots = ranked.len().min(settings.active_gateways.get());
    let (first, rest) = ranked.split_at(slots);
    let mut substitutes = rest.iter().copied().filter(|index| is_live(index));
    location.fill_slots(first, is_live, &mut substitutes);
    location.standby = substitutes.take(settings.standby_gateways).collect();
    let would_be_gateways = ranked.iter().take(slots.saturating_add(settings.standby_gateways));
    location.down = would_be_gateways.copied().filter(|index| !is_live(index)).collect();
}
