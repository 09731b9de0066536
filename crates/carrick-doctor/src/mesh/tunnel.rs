//! Tunnels between nodes, seen from both ends.

use carrick_probe::PathKind;
use carrick_status::{ChecksPage, PeerState};
use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use carrick_topology::{NodeName, NodePlan, PublicKey};

use crate::{Observations, Pages};

/// A session is dead when its handshake is older than this, in seconds (`REJECT_AFTER_TIME`, WireGuard paper §6.1).
pub(super) const SESSION_SECONDS: u64 = 180;

/// One end of a tunnel.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub(super) node: &'a NodeName,
    /// How the other end stands in this node's plan.
    pub(super) planned: &'a WireGuardPeer,
    /// The other end's key in this node's plan.
    pub(super) key: PublicKey,
    pages: &'a Pages,
}

/// A tunnel that both ends plan and whose ends both tell of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel<'a> {
    pub(super) ends: [End<'a>; 2],
}

/// What became of the packets that one end sent to the other between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// There were not two looks.
    Unknown,
    /// Nothing was sent.
    Idle,
    /// Something was sent and something arrived.
    Open,
    /// Something was sent and nothing arrived.
    Blocked,
}

impl<'a> End<'a> {
    /// The other end as WireGuard has it, at the last look.
    pub(super) fn state(&self) -> Option<&'a PeerState> {
        self.pages.latest()?.wireguard_device()?.peers.get(&self.key)
    }

    fn is_fresh(&self) -> bool {
        let seconds = self.state().and_then(|state| state.seconds_since_handshake);
        seconds.is_some_and(|seconds| seconds < SESSION_SECONDS)
    }

    /// Bytes that were sent and received between the two looks.
    fn moved(&self) -> Option<(u64, u64)> {
        let state = |page: &'a Option<ChecksPage>| page.as_ref()?.wireguard_device()?.peers.get(&self.key);
        let (before, after) = (state(&self.pages.checks)?, state(&self.pages.later)?);
        let sent = after.sent_bytes.saturating_sub(before.sent_bytes);
        Some((sent, after.received_bytes.saturating_sub(before.received_bytes)))
    }

    fn probes(&self, other: &NodeName) -> bool {
        self.pages.status.paths.iter().any(|path| path.to == *other && path.kind == PathKind::Tunnel)
    }
}

impl<'a> Tunnel<'a> {
    /// Whether both ends have a session.
    pub(super) fn is_alive(&self) -> bool {
        self.ends.iter().all(End::is_fresh)
    }

    /// Whether there is something that would keep a session alive. Without, an old handshake says nothing.
    pub(super) fn is_in_use(&self) -> bool {
        let [one, other] = &self.ends;
        let keepalive = self.ends.iter().any(|end| end.planned.persistent_keepalive.is_some());
        let sends = self.ends.iter().any(|end| end.moved().is_some_and(|(sent, _)| sent > 0));
        keepalive || sends || one.probes(other.node) || other.probes(one.node)
    }

    /// The two ways: from the first end to the second, and back.
    pub(super) fn ways(&self) -> [(End<'a>, End<'a>, Way); 2] {
        let [one, other] = self.ends;
        [(one, other, way(&one, &other)), (other, one, way(&other, &one))]
    }
}

fn way(from: &End<'_>, to: &End<'_>) -> Way {
    match (from.moved(), to.moved()) {
        (Some((0, _)), Some(_)) => Way::Idle,
        (Some(_), Some((_, 0))) => Way::Blocked,
        (Some(_), Some(_)) => Way::Open,
        (None, _) | (_, None) => Way::Unknown,
    }
}

/// Whether a peer is this node.
pub(super) fn is_node(peer: &WireGuardPeer, node: &NodeName) -> bool {
    matches!(&peer.identity, PeerIdentity::Node(name) if name == node)
}

/// The node of a plan's peer with its key.
pub(super) fn planned<'a>(plan: &'a NodePlan, node: &NodeName) -> Option<(PublicKey, &'a WireGuardPeer)> {
    plan.wireguard.peers.iter().find(|(_, peer)| is_node(peer, node)).map(|(key, peer)| (*key, peer))
}

/// The tunnels whose ends know each other's real keys and both tell what WireGuard holds.
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

/// Whether the pages `/checks` should be asked for again after some seconds: a tunnel has no session, and only what moves
/// between two looks tells which way is blocked. WireGuard tries again every 5 s.
#[must_use]
pub fn needs_second_look(observations: &Observations) -> bool {
    tunnels(observations).iter().any(|tunnel| !tunnel.is_alive())
}
