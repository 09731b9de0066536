//! How two gateways reach each other.

use std::net::IpAddr;

use super::Resolved;
use super::index::MemberIndex;
use super::member::Member;
use super::shared_endpoints::is_own;
use crate::hash::rendezvous;
use crate::model::{Endpoint, Family, Preference, is_public};

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
        let among = |relays: &[MemberIndex]| self.relay_among(relays, from, to);
        let relay = among(&self.relays.first_choice).or_else(|| among(&self.relays.last_choice));
        relay.map_or(Tunnel::None, Tunnel::Relay)
    }

    /// The relay between two gateways, among these.
    fn relay_among(&self, relays: &[MemberIndex], from: &Member<'_>, to: &Member<'_>) -> Option<MemberIndex> {
        let eligible: Vec<&Member<'_>> = relays
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
        rendezvous(&pair, candidates, |relay| relay.node.name.as_str()).map(|relay| relay.index)
    }
}

/// Whether one of the two can dial the other.
fn can_join(a: &Member<'_>, b: &Member<'_>) -> bool {
    dialled_endpoint(a, b).is_some() || dialled_endpoint(b, a).is_some()
}

/// The endpoint at which `from` dials `to` in another location: the first one of a family that `from` can send in, and
/// not at an address of `from` itself.
pub(crate) fn dialled_endpoint<'m>(from: &Member<'_>, to: &Member<'m>) -> Option<&'m Endpoint> {
    let is_dialled = |endpoint: &&Endpoint| endpoint.address().is_none_or(|address| can_dial(from, address));
    to.endpoints.iter().copied().find(is_dialled)
}

/// Whether `from` can send to an address of another location: not if it has the address itself, or no address of the family.
pub(crate) fn can_dial(from: &Member<'_>, address: IpAddr) -> bool {
    if is_own(from, address) {
        return false;
    }
    match Family::of(&address) {
        // An IPv4 host without a public address reaches the internet through NAT.
        Family::V4 => has_address(from, |other| Family::of(&other) == Family::V4) || has_no_address(from),
        Family::V6 if is_public(&address) => {
            has_address(from, |other| Family::of(&other) == Family::V6 && is_public(&other))
                || !has_address(from, |other| Family::of(&other) == Family::V4)
        }
        Family::V6 => has_address(from, |other| Family::of(&other) == Family::V6),
    }
}

/// Whether `from` has any address of the family of an address that is not its own. A node with a private IPv6 address alone may reach the internet
/// through a translation that it does not know of.
pub(crate) fn may_send_to(from: &Member<'_>, address: IpAddr) -> bool {
    !is_own(from, address) && has_address(from, |other| Family::of(&other) == Family::of(&address))
}

fn has_no_address(member: &Member<'_>) -> bool {
    !has_address(member, |_| true)
}

fn has_address(member: &Member<'_>, is_wanted: impl Fn(IpAddr) -> bool) -> bool {
    member.internal_addresses.iter().map(ipnet::IpNet::addr).any(&is_wanted)
        || member.endpoints.iter().filter_map(|endpoint| endpoint.address()).any(&is_wanted)
}
