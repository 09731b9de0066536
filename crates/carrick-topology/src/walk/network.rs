//! The plans of all nodes, compiled into tables for lookups.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::host::{Host, Hosts};
use super::step::{Arrival, Entry, Verdict};
use super::{DropReason, Origin, Outcome, Packet, Translation, Walk};
use crate::Liveness;
use crate::model::{Cluster, DeviceName, NodeName, PeerName, PublicKey, Settings};
use crate::plan::{NodePlan, PeerIdentity};
use crate::resolve::Resolved;

/// Hops after which a packet counts as looping.
const HOP_LIMIT: usize = 16;

/// All nodes with their plans.
pub struct Network<'a> {
    hosts: Hosts<'a>,
    outside: BTreeMap<PeerName, PublicKey>,
}

impl<'a> Network<'a> {
    /// Compiles the plans. Cluster, settings and liveness are those from which the plans were computed.
    #[must_use]
    pub fn new(
        cluster: &'a Cluster,
        settings: &'a Settings,
        liveness: &Liveness,
        plans: &'a BTreeMap<NodeName, NodePlan>,
    ) -> Self {
        Self::without(cluster, settings, liveness, plans, &BTreeSet::new())
    }

    /// Compiles the plans as the kernels hold them after these devices have vanished: their routes are gone too.
    #[must_use]
    pub fn without(
        cluster: &'a Cluster,
        settings: &'a Settings,
        liveness: &Liveness,
        plans: &'a BTreeMap<NodeName, NodePlan>,
        removed: &BTreeSet<(NodeName, DeviceName)>,
    ) -> Self {
        let resolved = Resolved::new(cluster, settings, liveness);
        let mut hosts = Hosts::default();
        for member in &resolved.members {
            let Some(plan) = plans.get(&member.node.name) else { continue };
            let name = member.node.name.clone();
            let gone: BTreeSet<&DeviceName> =
                removed.iter().filter(|(node, _)| *node == name).map(|(_, device)| device).collect();
            for net in &member.internal_addresses {
                hosts.by_internal_address.insert(net.addr(), name.clone());
            }
            let location = resolved.location_of(member);
            let neighbours = location.members.iter().map(|index| resolved.at(*index).node.name.clone()).collect();
            hosts.by_name.insert(name, Host::compile(member, plan, neighbours, &gone));
        }
        let outside = cluster.peers.iter().map(|(name, peer)| (name.clone(), peer.public_key)).collect();
        Self { hosts, outside }
    }

    /// Follows a packet. If a packet of a host has no source address, the route decides.
    ///
    /// A packet of an unknown origin is dropped with [`DropReason::SourceNotAllowed`].
    #[must_use]
    pub fn walk(&self, origin: &Origin, packet: Packet) -> Walk {
        self.walk_through(origin, packet, &[])
    }

    /// Follows the answer to a packet. The nodes that translated the packet restore the address. `None` if the packet did not arrive.
    #[must_use]
    pub fn answer(&self, request: &Walk, packet: Packet) -> Option<Walk> {
        let origin = match &request.outcome {
            Outcome::Pod(node) => Origin::Pod(node.clone()),
            Outcome::Host(node) => Origin::Host(node.clone()),
            Outcome::Outside(peer) => Origin::Outside(peer.clone()),
            Outcome::LocationNetwork(_) | Outcome::Uplink(_) | Outcome::Dropped(..) => return None,
        };
        let reply = Packet { source: Some(packet.destination), destination: request.source? };
        Some(self.walk_through(&origin, reply, &request.translations))
    }

    fn walk_through(&self, origin: &Origin, packet: Packet, undo: &[Translation]) -> Walk {
        let mut walk = Walk {
            hops: Vec::new(),
            outcome: Outcome::Dropped(self.any_name(), DropReason::Loop),
            source: packet.source,
            mtu: u32::MAX,
            translations: Vec::new(),
        };
        let mut destination = packet.destination;
        let mut arrival = match self.start(origin, packet.source) {
            Ok(arrival) => arrival,
            Err(outcome) => {
                walk.outcome = outcome;
                return walk;
            }
        };
        for _ in 0..HOP_LIMIT {
            let Some(host) = self.hosts.by_name.get(&arrival.node) else {
                walk.outcome = Outcome::Dropped(arrival.node, DropReason::NoPeer);
                return walk;
            };
            let restored = undo.iter().find(|undo| undo.node == arrival.node && undo.after == destination);
            if let Some(restored) = restored {
                destination = restored.before;
            }
            let packet = Packet { source: walk.source, destination };
            match host.handle(&self.hosts, &arrival, packet, &mut walk) {
                Verdict::End(outcome) => {
                    walk.outcome = outcome;
                    return walk;
                }
                Verdict::Leave { hop, outcome, mtu } => {
                    walk.hops.push(hop);
                    walk.mtu = walk.mtu.min(mtu);
                    walk.outcome = outcome;
                    return walk;
                }
                Verdict::Forward { hop, next, mtu } => {
                    walk.hops.push(hop);
                    walk.mtu = walk.mtu.min(mtu);
                    arrival = next;
                }
            }
        }
        walk.outcome = Outcome::Dropped(arrival.node, DropReason::Loop);
        walk
    }

    fn start(&self, origin: &Origin, source: Option<IpAddr>) -> Result<Arrival, Outcome> {
        let (node, by) = match origin {
            Origin::Pod(node) => (node.clone(), Entry::Pod),
            Origin::Host(node) => (node.clone(), Entry::Host),
            Origin::Outside(peer) => (self.server_of(peer, source)?, Entry::WireGuard),
        };
        Ok(Arrival { node, by })
    }

    /// The node that serves an outside peer, if it accepts this source address from the peer.
    fn server_of(&self, peer: &PeerName, source: Option<IpAddr>) -> Result<NodeName, Outcome> {
        let refused = || Outcome::Dropped(self.any_name(), DropReason::SourceNotAllowed);
        let key = self.outside.get(peer).ok_or_else(refused)?;
        let serves = |host: &&Host<'_>| {
            host.plan
                .wireguard
                .peers
                .get(key)
                .is_some_and(|entry| entry.identity == PeerIdentity::Outside(peer.clone()))
        };
        let server = self.hosts.by_name.values().find(serves).ok_or_else(refused)?;
        let accepts = source.is_some_and(|source| server.peer_for(source) == Some(key));
        if accepts { Ok(server.plan.node.clone()) } else { Err(refused()) }
    }

    fn any_name(&self) -> NodeName {
        #[expect(clippy::expect_used, reason = "the text is a valid name")]
        self.hosts.by_name.keys().next().cloned().unwrap_or_else(|| "unknown".parse().expect("a constant name"))
    }
}
