//! Which gateways may relay.

use super::index::MemberIndex;
use super::location::Location;
use super::member::Member;
use crate::Liveness;
use crate::model::{Granularity, Preference, Settings};

/// The gateways that may relay: live, permitted, with a public endpoint.
pub(super) fn candidates(
    members: &[Member<'_>],
    locations: &[Location],
    settings: &Settings,
    liveness: &Liveness,
) -> Vec<MemberIndex> {
    let permitted = |index: &MemberIndex| {
        let member = &members[index.0];
        member.node.relay != Preference::Never && member.has_public_endpoint() && liveness.is_live(&member.node.name)
    };
    let mut candidates: Vec<MemberIndex> = locations
        .iter()
        .flat_map(|location| match settings.granularity {
            Granularity::Location => relays_among_gateways(members, location),
            Granularity::Cross | Granularity::Full => relays_among_all(members, location, settings, permitted),
        })
        .filter(permitted)
        .collect();
    candidates.sort();
    candidates
}

/// Active gateways, and standby ones that the operator prefers.
fn relays_among_gateways(members: &[Member<'_>], location: &Location) -> Vec<MemberIndex> {
    let preferred = |index: &MemberIndex| members[index.0].node.relay == Preference::Preferred;
    let active = location.active.iter().map(|gateway| gateway.holder);
    active.chain(location.standby.iter().copied().filter(preferred)).collect()
}

/// Where every node is a gateway: as many as would be active; preferred nodes first, then the oldest.
fn relays_among_all(
    members: &[Member<'_>],
    location: &Location,
    settings: &Settings,
    permitted: impl Fn(&MemberIndex) -> bool,
) -> Vec<MemberIndex> {
    let mut relays: Vec<MemberIndex> = location.members.iter().copied().filter(permitted).collect();
    relays.sort_by_key(|index| (members[index.0].node.relay, members[index.0].node.age()));
    relays.truncate(settings.active_gateways.get());
    relays
}
