//! Outside peers: which of them count, which of their networks, and which node serves them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::index::MemberIndex;
use super::location::Location;
use super::member::{ClusterClaims, Member};
use crate::hash::rendezvous;
use crate::model::{Cluster, LocationName, Peer, PeerName, PublicKey};
use crate::{ObjectName, Warning, WarningReason};

/// An outside peer that a node serves.
#[derive(Clone, Debug)]
pub(crate) struct OutsidePeer<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) allowed_ips: Vec<IpNet>,
    pub(crate) server: MemberIndex,
}

/// The outside peers that count.
pub(super) struct Admitted<'a> {
    /// Those that a node serves, sorted by name.
    pub(super) served: Vec<OutsidePeer<'a>>,
    /// The networks of the others. No packet to them leaves beside the mesh, because the agent of one node can make its node a server of peers or none.
    pub(super) unserved_networks: Vec<(IpNet, &'a PeerName)>,
}

/// Admits the peers that share their key with no node and no older peer, and finds the node that serves each of them.
pub(super) fn admit<'a>(
    cluster: &'a Cluster,
    members: &[Member<'_>],
    locations: &[Location],
    claims: &mut ClusterClaims<'_>,
    warnings: &mut BTreeSet<Warning>,
) -> Admitted<'a> {
    let mut by_age: Vec<&Peer> = cluster.peers.values().collect();
    by_age.sort_by_key(|peer| peer.age());
    let servers = Servers::new(members, locations);

    let mut keys: BTreeMap<PublicKey, ObjectName> = BTreeMap::new();
    let mut served = Vec::new();
    let mut unserved = Vec::new();
    for peer in by_age {
        let object = ObjectName::Peer(peer.name.clone());
        let node = claims.keys.owner(&peer.public_key).cloned().map(ObjectName::Node);
        if let Some(owner) = node.or_else(|| keys.get(&peer.public_key).cloned()) {
            let reason = WarningReason::AlreadyClaimed(owner);
            warnings.insert(Warning::new(object, "publicKey", peer.public_key, reason));
            continue;
        }
        keys.insert(peer.public_key, object.clone());
        let Some(server) = servers.of(peer) else {
            let wanted = peer.location.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
            warnings.insert(Warning::new(object, "location", wanted, WarningReason::NoServingNode));
            unserved.push(peer);
            continue;
        };
        let allowed_ips = admit_allowed_ips(peer, &object, claims, warnings);
        served.push(OutsidePeer { peer, allowed_ips, server });
    }
    served.sort_by(|a, b| a.peer.name.cmp(&b.peer.name));
    let mut unserved_networks = Vec::new();
    for peer in unserved {
        let object = ObjectName::Peer(peer.name.clone());
        let networks = admit_allowed_ips(peer, &object, claims, warnings).into_iter();
        unserved_networks.extend(networks.map(|net| (net, &peer.name)));
    }
    Admitted { served, unserved_networks }
}

/// The node that serves each of these peers, in the order of the peers.
pub(super) fn servers(
    outside: &[OutsidePeer<'_>],
    members: &[Member<'_>],
    locations: &[Location],
) -> Vec<Option<MemberIndex>> {
    let servers = Servers::new(members, locations);
    outside.iter().map(|outside| servers.of(outside.peer)).collect()
}

/// The networks of the peers, by the node that serves them.
pub(super) fn networks_by_server<'a>(outside: &[OutsidePeer<'a>]) -> BTreeMap<MemberIndex, Vec<(IpNet, &'a PeerName)>> {
    let mut networks: BTreeMap<MemberIndex, Vec<(IpNet, &'a PeerName)>> = BTreeMap::new();
    for outside in outside {
        let owned = outside.allowed_ips.iter().map(|net| (*net, &outside.peer.name));
        networks.entry(outside.server).or_default().extend(owned);
    }
    networks
}

fn admit_allowed_ips(
    peer: &Peer,
    object: &ObjectName,
    claims: &mut ClusterClaims<'_>,
    warnings: &mut BTreeSet<Warning>,
) -> Vec<IpNet> {
    let mut admitted = Vec::new();
    for net in peer.allowed_ips.iter().map(IpNet::trunc) {
        let reason = if let Some(owner) = claims.ranges.overlap(&net) {
            Some(owner.reason())
        } else if let Some(owner) = claims.addresses.inside(&net) {
            Some(WarningReason::OverlapsCluster(format!("an internal address of {}", owner.object())))
        } else {
            match claims.outside_networks.claim(net, object.clone()) {
                Ok(()) => None,
                Err(owner) if owner == object => continue,
                Err(owner) => Some(WarningReason::AlreadyClaimed(owner.clone())),
            }
        };
        match reason {
            None => admitted.push(net),
            Some(reason) => {
                warnings.insert(Warning::new(object.clone(), "allowedIPs", net, reason));
            }
        }
    }
    admitted
}

/// The first-ranked gateway of each location.
struct Servers<'a> {
    /// The first one with a public endpoint, which peers can dial.
    public: BTreeMap<&'a LocationName, MemberIndex>,
    /// The first one at all, for peers that are dialled.
    any: BTreeMap<&'a LocationName, MemberIndex>,
}

impl<'a> Servers<'a> {
    fn new(members: &[Member<'_>], locations: &'a [Location]) -> Self {
        let mut servers = Self { public: BTreeMap::new(), any: BTreeMap::new() };
        for location in locations {
            for gateway in location.gateways_by_rank() {
                servers.any.entry(&location.name).or_insert(gateway);
                if members[gateway.0].has_public_endpoint() {
                    servers.public.entry(&location.name).or_insert(gateway);
                }
            }
        }
        servers
    }

    fn of(&self, peer: &Peer) -> Option<MemberIndex> {
        let in_reach = |servers: &BTreeMap<&'a LocationName, MemberIndex>| match &peer.location {
            Some(location) => servers.get(location).copied(),
            None => rendezvous(peer.name.as_str(), servers, |(location, _)| location.as_str()).map(|(_, index)| *index),
        };
        in_reach(&self.public).or_else(|| peer.endpoint.as_ref().and_then(|_| in_reach(&self.any)))
    }
}
