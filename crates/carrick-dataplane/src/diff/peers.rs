//! The WireGuard device's own settings, its peers and their allowed IPs.

use std::collections::{BTreeMap, BTreeSet};

use carrick_netlink::wireguard::{
    AllowedIpChange, AllowedIps, Device, DeviceChange, Peer, PeerChange, PeerVerb, Preshared, PublicKey, SecretKey,
};
use ipnet::IpNet;

use super::changes::{Changes, Circumstances, age};
use crate::desired::{WantedPeer, WantedWireGuard};
use crate::operation::Operation;
use crate::sighting::SESSION_LIFETIME;
use crate::sysctl::Fate;

/// Key, port and mark, as far as they differ. A device whose configuration cannot be read is left alone.
pub(super) fn device_configuration(wanted: &WantedWireGuard, fate: Fate, found: Option<&Device>) -> Option<Operation> {
    if fate == Fate::Stays && found.is_none() {
        return None;
    }
    // To set another form of the same key would end the sessions of all peers.
    let held_key = found.and_then(|found| found.private_key.as_ref()).map(SecretKey::clamped);
    let same_key = held_key == Some(wanted.private_key.clamped());
    let same_port = found.is_some_and(|found| found.port == wanted.port);
    let same_mark = found.is_some_and(|found| found.firewall_mark == wanted.firewall_mark);
    let change = DeviceChange {
        private_key: (!same_key).then(|| wanted.private_key.clone()),
        port: (!same_port).then_some(wanted.port),
        firewall_mark: (!same_mark).then_some(wanted.firewall_mark),
        ..DeviceChange::default()
    };
    (change != DeviceChange::default()).then_some(Operation::ConfigureWireGuard(change))
}

/// What differs in the peers. `found` is `None` for a new device.
pub(super) fn differences(
    wanted: &WantedWireGuard,
    found: Option<&Device>,
    circumstances: &Circumstances<'_>,
) -> Changes {
    let present: BTreeMap<PublicKey, &Peer> =
        found.iter().flat_map(|device| &device.peers).map(|peer| (peer.public_key, peer)).collect();
    let compared: Vec<Compared<'_>> =
        wanted.peers.iter().map(|(key, wanted)| Compared::new(*key, wanted, present.get(key).copied())).collect();
    let moving: BTreeSet<IpNet> = compared.iter().flat_map(|peer| peer.gained.iter().copied()).collect();
    let mut changes = Changes::default();
    for peer in compared {
        match peer.found {
            None => changes.made.push(Operation::SetPeer(new_peer(peer.key, peer.wanted, circumstances))),
            Some(found) => {
                changes.removed.extend(lost_allowed_ips(&peer, &moving));
                changes.made.extend(changed_peer(peer, found, circumstances).map(Operation::SetPeer));
            }
        }
    }
    let unknown = present.keys().filter(|key| !wanted.peers.contains_key(key) && !wanted.withheld.contains(key));
    changes.removed.extend(unknown.map(|key| Operation::RemovePeer(*key)));
    changes
}

/// A wanted peer beside what is there of it.
struct Compared<'a> {
    key: PublicKey,
    wanted: &'a WantedPeer,
    found: Option<&'a Peer>,
    /// Allowed IPs that it does not have.
    gained: Vec<IpNet>,
    /// Allowed IPs that it must not have.
    surplus: Vec<IpNet>,
}

impl<'a> Compared<'a> {
    fn new(key: PublicKey, wanted: &'a WantedPeer, found: Option<&'a Peer>) -> Self {
        let mut held: Vec<IpNet> = found.map(|found| found.allowed_ips.clone()).unwrap_or_default();
        held.sort_unstable();
        // Most of the time they are equal, which is cheap to see.
        let (gained, surplus) = if held.iter().eq(&wanted.allowed_ips) {
            (Vec::new(), Vec::new())
        } else {
            let is_missing = |network: &&IpNet| held.binary_search(network).is_err();
            let gained = wanted.allowed_ips.iter().filter(is_missing).copied().collect();
            let surplus = held.iter().filter(|network| !wanted.allowed_ips.contains(network)).copied().collect();
            (gained, surplus)
        };
        Self { key, wanted, found, gained, surplus }
    }
}

/// A peer that only dials in is dialled where it was last seen: it cannot know that its session is lost here.
fn new_peer(key: PublicKey, wanted: &WantedPeer, circumstances: &Circumstances<'_>) -> PeerChange {
    PeerChange {
        endpoint: wanted.endpoint.or_else(|| circumstances.seen_endpoints.get(&key).copied()),
        persistent_keepalive: wanted.persistent_keepalive,
        preshared_key: wanted.preshared_key.clone().map_or(Preshared::Keep, Preshared::Set),
        allowed_ips: AllowedIps::Replace(wanted.allowed_ips.iter().copied().collect()),
        ..PeerChange::new(key, PeerVerb::Set)
    }
}

fn changed_peer(peer: Compared<'_>, found: &Peer, circumstances: &Circumstances<'_>) -> Option<PeerChange> {
    let Compared { wanted, gained, .. } = peer;
    let change = PeerChange {
        endpoint: endpoint_to_write(wanted, found, circumstances),
        persistent_keepalive: (wanted.persistent_keepalive != found.persistent_keepalive)
            .then(|| wanted.persistent_keepalive.unwrap_or(0)),
        preshared_key: match &wanted.preshared_key {
            wanted if *wanted == found.preshared_key => Preshared::Keep,
            Some(key) => Preshared::Set(key.clone()),
            None => Preshared::Clear,
        },
        allowed_ips: AllowedIps::Change(gained.into_iter().map(AllowedIpChange::Add).collect()),
        ..PeerChange::new(found.public_key, PeerVerb::Update)
    };
    (change != PeerChange::new(found.public_key, PeerVerb::Update)).then_some(change)
}

/// A peer that moved keeps its endpoint while its session lives, unless the wanted endpoint changed to an address that is not one of the same
/// domain name. Once the session is dead, the next
/// handshake can go to the wanted endpoint without loss.
fn endpoint_to_write(
    wanted: &WantedPeer,
    found: &Peer,
    circumstances: &Circumstances<'_>,
) -> Option<std::net::SocketAddr> {
    let endpoint = wanted.endpoint?;
    if found.endpoint == Some(endpoint) {
        return None;
    }
    let written = circumstances.written_endpoints.get(&found.public_key);
    let is_alternative = found.endpoint.is_some_and(|found| wanted.alternatives.contains(&found.ip()));
    let wish_changed = written.is_some_and(|written| *written != endpoint) && !is_alternative;
    let stale = found.last_handshake.is_none_or(|handshake| age(circumstances.now, handshake) > SESSION_LIFETIME);
    (wish_changed || stale).then_some(endpoint)
}

/// What the peer must lose. An allowed IP that moves to another peer leaves this one by that.
fn lost_allowed_ips(peer: &Compared<'_>, moving: &BTreeSet<IpNet>) -> Option<Operation> {
    let removed: Vec<IpNet> = peer.surplus.iter().filter(|network| !moving.contains(network)).copied().collect();
    (!removed.is_empty()).then_some(Operation::RemoveAllowedIps { peer: peer.key, removed })
}
