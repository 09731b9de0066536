//! Tunnels between nodes, seen from both ends.

use std::net::SocketAddr;

use carrick_probe::{PathKind, PathState, ProbedPath};
use carrick_status::{ChecksPage, PeerState};
use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use carrick_topology::{NodeName, NodePlan, PublicKey};

use crate::{Observations, Pages};

/// The age of a handshake up to which another handshake is too early, in seconds. WireGuard renews a session after 120 s
/// (`REKEY_AFTER_TIME`, WireGuard paper §6.1). A session that is renewed much earlier was never confirmed.
const EARLY_REKEY_SECONDS: u64 = 10;
/// The least time between two samples, in seconds.
const SECONDS_BETWEEN_SAMPLES: u64 = 4;

/// One end of a tunnel.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub(super) node: &'a NodeName,
    /// The other end in this node's plan.
    pub(super) planned: &'a WireGuardPeer,
    /// The other end's key in this node's plan.
    pub(super) key: PublicKey,
    pages: &'a Pages,
}

/// A tunnel that is in the plans of both ends, and whose ends both report their WireGuard device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel<'a> {
    pub(super) ends: [End<'a>; 2],
}

/// The packets from one end to the other between two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// There is only one sample.
    Unknown,
    /// The sender sent nothing.
    Idle,
    /// The sender sent packets, and packets arrived.
    Open,
    /// The sender sent packets, and none arrived.
    Blocked,
}

impl<'a> End<'a> {
    /// WireGuard's state of the other end in the latest sample.
    pub(super) fn state(&self) -> Option<&'a PeerState> {
        self.pages.latest()?.wireguard_device()?.peers.get(&self.key)
    }

    /// Where this end sends packets for the other one.
    pub(super) fn dialled(&self) -> Option<SocketAddr> {
        self.state().and_then(|state| state.endpoint).or(self.planned.endpoint)
    }

    /// The mark of the packets that this end's WireGuard sends.
    pub(super) fn firewall_mark(&self) -> Option<u32> {
        self.pages.plan().map(|plan| plan.firewall.firewall_mark)
    }

    fn has_valid_session(&self) -> bool {
        self.state().is_some_and(PeerState::has_session)
    }

    /// Whether handshakes follow each other too early. WireGuard repeats a handshake that the other end answers but never confirms;
    /// userspace WireGuard counts such a handshake as complete.
    fn repeats_handshakes(&self) -> bool {
        let ages = self
            .both()
            .and_then(|(before, after)| Some((before.seconds_since_handshake?, after.seconds_since_handshake?)));
        ages.is_some_and(|(before, after)| before <= EARLY_REKEY_SECONDS && after < before + SECONDS_BETWEEN_SAMPLES)
    }

    /// WireGuard's state of the other end in both samples.
    fn both(&self) -> Option<(&'a PeerState, &'a PeerState)> {
        let state = |page: &'a Option<ChecksPage>| page.as_ref()?.wireguard_device()?.peers.get(&self.key);
        Some((state(&self.pages.checks)?, state(&self.pages.later)?))
    }

    /// The bytes sent and received between the two samples.
    fn moved(&self) -> Option<(u64, u64)> {
        let (before, after) = self.both()?;
        let sent = after.sent_bytes.saturating_sub(before.sent_bytes);
        Some((sent, after.received_bytes.saturating_sub(before.received_bytes)))
    }

    fn path(&self, other: &NodeName) -> Option<&'a ProbedPath> {
        self.pages.status.paths.iter().find(|path| path.to == *other && path.kind == PathKind::Tunnel)
    }
}

impl<'a> Tunnel<'a> {
    /// Whether both ends have a valid session.
    pub(super) fn has_session(&self) -> bool {
        self.ends.iter().all(|end| end.has_valid_session() && !end.repeats_handshakes())
    }

    /// Whether probes are not answered in at least one direction.
    pub(super) fn has_unanswered_probes(&self) -> bool {
        let [one, other] = &self.ends;
        [one.path(other.node), other.path(one.node)].into_iter().flatten().any(|path| path.state == PathState::Down)
    }

    /// Whether something keeps a session alive. In a tunnel that is not in use, an old handshake is no fault.
    pub(super) fn is_in_use(&self) -> bool {
        let [one, other] = &self.ends;
        let keepalive = self.ends.iter().any(|end| end.planned.persistent_keepalive.is_some());
        let sends = self.ends.iter().any(|end| end.moved().is_some_and(|(sent, _)| sent > 0));
        keepalive || sends || one.path(other.node).is_some() || other.path(one.node).is_some()
    }

    /// Whether an end dials the other one inside the other one's own pod CIDRs, where no packet arrives.
    pub(super) fn dials_pods(&self) -> bool {
        let [one, other] = &self.ends;
        one.dials_pods_of(other) || other.dials_pods_of(one)
    }

    /// The directions in which packets were sent and none arrived.
    pub(super) fn losses(&self) -> impl Iterator<Item = (End<'a>, End<'a>)> {
        self.directions()
            .into_iter()
            .filter(|(_, _, delivery)| *delivery == Delivery::Blocked)
            .map(|(from, to, _)| (from, to))
    }

    /// The two directions: from the first end to the second, and back.
    pub(super) fn directions(&self) -> [(End<'a>, End<'a>, Delivery); 2] {
        let [one, other] = self.ends;
        [(one, other, delivery(&one, &other)), (other, one, delivery(&other, &one))]
    }
}

impl End<'_> {
    fn dials_pods_of(&self, other: &Self) -> bool {
        let pod_cidrs = other.pages.plan().map(|plan| &plan.pod_cidrs);
        self.planned
            .endpoint
            .zip(pod_cidrs)
            .is_some_and(|(endpoint, pod_cidrs)| pod_cidrs.iter().any(|pod_cidr| pod_cidr.contains(&endpoint.ip())))
    }
}

fn delivery(from: &End<'_>, to: &End<'_>) -> Delivery {
    match (from.moved(), to.moved()) {
        (Some((0, _)), Some(_)) => Delivery::Idle,
        (Some(_), Some((_, 0))) => Delivery::Blocked,
        (Some(_), Some(_)) => Delivery::Open,
        (None, _) | (_, None) => Delivery::Unknown,
    }
}

/// Whether a peer is the given node.
pub(super) fn is_node(peer: &WireGuardPeer, node: &NodeName) -> bool {
    matches!(&peer.identity, PeerIdentity::Node(name) if name == node)
}

/// A node's peer in a plan, with its key.
pub(super) fn planned<'a>(plan: &'a NodePlan, node: &NodeName) -> Option<(PublicKey, &'a WireGuardPeer)> {
    plan.wireguard.peers.iter().find(|(_, peer)| is_node(peer, node)).map(|(key, peer)| (*key, peer))
}

/// The tunnels whose ends know each other's real keys and both report their WireGuard device.
pub(super) fn tunnels(observations: &Observations) -> Vec<Tunnel<'_>> {
    let ends: Vec<_> = observations.answered().collect();
    let mut tunnels = Vec::new();
    for (position, (one, one_pages)) in ends.iter().enumerate() {
        for (other, other_pages) in &ends[position + 1..] {
            let there = end(one, one_pages, other, other_pages);
            let back = end(other, other_pages, one, one_pages);
            tunnels.extend(there.zip(back).map(|(there, back)| Tunnel { ends: [there, back] }));
        }
    }
    tunnels
}

fn end<'a>(node: &'a NodeName, pages: &'a Pages, other: &NodeName, other_pages: &Pages) -> Option<End<'a>> {
    let (key, planned) = planned(pages.plan()?, other)?;
    pages.latest()?.wireguard_device()?;
    let is_real = other_pages.latest()?.public_key.is_none_or(|real| real == key);
    is_real.then_some(End { node, planned, key, pages })
}

/// Whether the caller should fetch the pages `/checks` again after some seconds. This is so if a tunnel does not work: only the packets
/// between two samples tell which direction is blocked. WireGuard retries a handshake every 5 s.
#[must_use]
pub fn needs_second_sample(observations: &Observations) -> bool {
    let never = |tunnel: &Tunnel<'_>| {
        tunnel.ends.iter().any(|end| end.state().is_none_or(|state| state.seconds_since_handshake.is_none()))
    };
    let is_suspect = |tunnel: &Tunnel<'_>| {
        tunnel.has_unanswered_probes() || (!tunnel.has_session() && (tunnel.is_in_use() || never(tunnel)))
    };
    tunnels(observations).iter().any(is_suspect)
}
