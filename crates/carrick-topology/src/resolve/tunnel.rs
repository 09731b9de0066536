//! How two gateways reach each other.

use super::Resolved;
use super::location::Location;
use super::member::{Member, MemberIndex};
use crate::Liveness;
use crate::hash::rendezvous;
use crate::model::{Endpoint, Family, Granularity, Preference, Settings, is_public};

/// How packets get from one gateway to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tunnel {
    /// Through one tunnel.
    Direct,
    /// Through two tunnels, which meet at this gateway of a third location.
    Relay(MemberIndex),
    /// Not at all.
    None,
}

impl Resolved<'_> {
    /// How packets get from one gateway to another. The opposite direction uses the same tunnels.
    pub(crate) fn tunnel(&self, from: MemberIndex, to: MemberIndex) -> Tunnel {
        let (from, to) = (self.at(from), self.at(to));
        if can_join(from, to) {
            return Tunnel::Direct;
        }
        let eligible: Vec<&Member<'_>> = self
            .relays
            .iter()
            .map(|index| self.at(*index))
            .filter(|relay| relay.location != from.location && relay.location != to.location)
            .filter(|relay| can_join(from, relay) && can_join(relay, to))
            .collect();
        let preferred: Vec<&Member<'_>> =
            eligible.iter().copied().filter(|relay| relay.node.relay == Preference::Preferred).collect();
        let candidates = if preferred.is_empty() { eligible } else { preferred };
        let (low, high) = if from.node.name < to.node.name { (from, to) } else { (to, from) };
        let pair = format!("{} {}", low.node.name, high.node.name);
        rendezvous(&pair, candidates, |relay| relay.node.name.as_str())
            .map_or(Tunnel::None, |relay| Tunnel::Relay(relay.index))
    }
}

/// The gateways that may relay: live, permitted, with a public endpoint.
pub(super) fn relay_candidates(
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

/// Whether one of the two can dial the other.
fn can_join(a: &Member<'_>, b: &Member<'_>) -> bool {
    dialled_endpoint(a, b).is_some() || dialled_endpoint(b, a).is_some()
}

/// The endpoint at which `from` dials `to` in another location: the first one of a family that `from` can send in.
pub(crate) fn dialled_endpoint<'m>(from: &Member<'_>, to: &Member<'m>) -> Option<&'m Endpoint> {
    to.endpoints.iter().copied().find(|endpoint| {
        endpoint.address().is_none_or(|address| {
            let public = is_public(&address);
            match Family::of(&address) {
                // An IPv4 host without a public address reaches the internet through NAT.
                Family::V4 => has_address(from, |other| Family::of(&other) == Family::V4) || has_no_address(from),
                Family::V6 if public => {
                    has_address(from, |other| Family::of(&other) == Family::V6 && is_public(&other))
                        || !has_address(from, |other| Family::of(&other) == Family::V4)
                }
                Family::V6 => has_address(from, |other| Family::of(&other) == Family::V6),
            }
        })
    })
}

fn has_no_address(member: &Member<'_>) -> bool {
    !has_address(member, |_| true)
}

fn has_address(member: &Member<'_>, is_wanted: impl Fn(std::net::IpAddr) -> bool) -> bool {
    member.internal_addresses.iter().map(ipnet::IpNet::addr).any(&is_wanted)
        || member.endpoints.iter().filter_map(|endpoint| endpoint.address()).any(&is_wanted)
}
