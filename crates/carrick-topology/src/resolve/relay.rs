//! Which gateways may relay.

use super::index::MemberIndex;
use super::location::Location;
use super::member::Member;
use crate::Liveness;
use crate::model::{Granularity, Preference, Settings};

/// The gateways that may relay: permitted, with a public endpoint.
#[derive(Debug)]
pub(super) struct Relays {
    pub(super) first_choice: Vec<MemberIndex>,
    /// They relay where no other one can: those that are down, and the gateways of locations whose first gateways are all down, which may not have
    /// answered yet.
    pub(super) last_choice: Vec<MemberIndex>,
}

/// The gateways that may relay.
pub(super) fn candidates(
    members: &[Member<'_>],
    locations: &[Location],
    settings: &Settings,
    liveness: &Liveness,
) -> Relays {
    let permitted = |index: &MemberIndex| {
        let member = &members[index.0];
        member.node.relay != Preference::Never && member.has_public_endpoint()
    };
    let is_live = |index: &MemberIndex| liveness.is_live(&members[index.0].node.name);
    let group_size = settings.active_gateways.get().saturating_add(settings.standby_gateways);
    let is_first_choice = |index: &MemberIndex| {
        let is_of_first_group = match settings.granularity {
            Granularity::Location => locations[members[index.0].location.0].down.len() < group_size,
            Granularity::Cross | Granularity::Full => true,
        };
        is_live(index) && is_of_first_group
    };
    let mut candidates: Vec<MemberIndex> = locations
        .iter()
        .flat_map(|location| match settings.granularity {
            Granularity::Location => relays_among_gateways(members, location),
            Granularity::Cross | Granularity::Full => relays_among_all(members, location, settings, permitted, is_live),
        })
        .filter(permitted)
        .collect();
    candidates.sort();
    let (first_choice, last_choice) = candidates.into_iter().partition(is_first_choice);
    Relays { first_choice, last_choice }
}

/// Active gateways, and standby ones that the operator prefers.
fn relays_among_gateways(members: &[Member<'_>], location: &Location) -> Vec<MemberIndex> {
    let preferred = |index: &MemberIndex| members[index.0].node.relay == Preference::Preferred;
    let active = location.active.iter().map(|gateway| gateway.holder);
    active.chain(location.standby.iter().copied().filter(preferred)).collect()
}

/// Where every node is a gateway: as many as would be active; live nodes first, then preferred ones, then the oldest.
fn relays_among_all(
    members: &[Member<'_>],
    location: &Location,
    settings: &Settings,
    permitted: impl Fn(&MemberIndex) -> bool,
    is_live: impl Fn(&MemberIndex) -> bool,
) -> Vec<MemberIndex> {
    let mut relays: Vec<MemberIndex> = location.members.iter().copied().filter(permitted).collect();
    relays.sort_by_key(|index| (!is_live(index), members[index.0].node.relay, members[index.0].node.age()));
    relays.truncate(settings.active_gateways.get());
    relays
}
