//! Which nodes carry the traffic of their location, and which node is assigned to which gateway.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::index::MemberIndex;
use super::location::{ActiveGateway, Location};
use super::member::Member;
use crate::hash::rendezvous;
use crate::model::{CreationTime, Granularity, NodeName, Preference, Settings};
use crate::{Liveness, ObjectName, Warning, WarningReason};

/// Chooses active and standby gateways of every location. In `cross` and `full` every node carries its own traffic; there the choice
/// only decides which nodes serve outside peers and relay.
pub(super) fn choose(
    members: &[Member<'_>],
    locations: &mut [Location],
    settings: &Settings,
    liveness: &Liveness,
    warnings: &mut BTreeSet<Warning>,
) {
    for location in locations {
        let ranked = rank(members, &location.members, settings.granularity);
        if ranked.is_empty() {
            let object = ObjectName::Location(location.name.to_string());
            let names: Vec<&str> = location.members.iter().map(|index| members[index.0].node.name.as_str()).collect();
            warnings.insert(Warning::new(object, "gateway", names.join(","), WarningReason::NoGateway));
            continue;
        }
        fill(location, &ranked, members, settings, liveness);
    }
}

/// The nodes of the first group that has a live one are gateways. A group is as many nodes as are active and standby gateways, in the
/// order of their ranks. If one node of the group is down, the next live one of the group takes its slot.
///
/// A gateway that is down is not replaced from the next group while another one of its group is live. Nodes that are wrong about one gateway
/// would otherwise treat a node as a gateway that its own location does not treat as one, and lose the packets of that node.
fn fill(
    location: &mut Location,
    ranked: &[MemberIndex],
    members: &[Member<'_>],
    settings: &Settings,
    liveness: &Liveness,
) {
    let is_live = |index: &MemberIndex| liveness.is_live(&members[index.0].node.name);
    let active_gateways = settings.active_gateways.get();
    let group_size = active_gateways.saturating_add(settings.standby_gateways);
    let live_group = ranked.chunks(group_size).position(|group| group.iter().any(is_live));
    // If all gateways of a location are down, all of them count as live: there is no better choice.
    let is_live = |index: &MemberIndex| live_group.is_none() || is_live(index);
    let (passed_over, rest) = ranked.split_at(live_group.unwrap_or_default() * group_size);
    let group = &rest[..rest.len().min(group_size)];

    let (first, others) = group.split_at(group.len().min(active_gateways));
    let mut substitutes = others.iter().copied().filter(|index| is_live(index));
    location.fill_slots(first, is_live, &mut substitutes);
    location.standby = substitutes.collect();
    location.down = passed_over.iter().chain(group).copied().filter(|index| !is_live(index)).collect();
    if live_group.is_none() {
        // Any of the others may be the one that comes back.
        location.down.extend(&rest[group.len()..]);
    }
}

/// Preferred nodes first, then nodes with a public endpoint, then by creation time, then by name. Nodes with `never` have no rank.
fn rank(members: &[Member<'_>], candidates: &[MemberIndex], granularity: Granularity) -> Vec<MemberIndex> {
    let preference = |index: &MemberIndex| match granularity {
        Granularity::Location => members[index.0].node.gateway,
        Granularity::Cross | Granularity::Full => Preference::Auto,
    };
    let mut ranked: Vec<MemberIndex> =
        candidates.iter().copied().filter(|index| preference(index) != Preference::Never).collect();
    ranked.sort_by_cached_key(|index| rank_key(&members[index.0], preference(index)));
    ranked
}

type RankKey<'a> = (Preference, Reverse<bool>, CreationTime, &'a NodeName);

fn rank_key<'a>(member: &Member<'a>, preference: Preference) -> RankKey<'a> {
    let (created, name) = member.node.age();
    (preference, Reverse(member.has_public_endpoint()), created, name)
}

/// Assigns every member to the gateway that carries its traffic: gateways to themselves, the others by rendezvous hashing.
pub(super) fn assign(members: &mut [Member<'_>], locations: &[Location], settings: &Settings) {
    let carriers = carriers(members, locations, settings);
    for (member, carrier) in members.iter_mut().zip(carriers) {
        member.carrier = carrier;
    }
}

/// The gateway that carries each member's traffic, in the order of the members.
pub(super) fn carriers(
    members: &[Member<'_>],
    locations: &[Location],
    settings: &Settings,
) -> Vec<Option<MemberIndex>> {
    members.iter().map(|member| carrier(member, members, locations, settings.granularity)).collect()
}

fn carrier(
    member: &Member<'_>,
    members: &[Member<'_>],
    locations: &[Location],
    granularity: Granularity,
) -> Option<MemberIndex> {
    let location = &locations[member.location.0];
    match granularity {
        Granularity::Cross | Granularity::Full => Some(member.index),
        Granularity::Location if location.is_gateway(member.index) => Some(member.index),
        Granularity::Location => {
            let slot_name = |gateway: &&ActiveGateway| members[gateway.slot.0].node.name.as_str();
            rendezvous(member.node.name.as_str(), &location.active, slot_name).map(|gateway| gateway.holder)
        }
    }
}
