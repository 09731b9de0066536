//! Tunnels between nodes, seen from both ends.

use carrick_probe::{PathKind, PathState, ProbedPath};
use carrick_status::{ChecksPage, PeerState};
use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use carrick_topology::{NodeName, NodePlan, PublicKey};

use crate::{Observations, Pages};

/// A session is renewed after 120 s (`REKEY_AFTER_TIME`); one that is renewed at this age already never came about, in seconds.
const RESTLESS_SECONDS: u64 = 10;
/// Two looks are further apart than this, in seconds.
const SECONDS_BETWEEN_LOOKS: u64 = 4;

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
pub(super) enum Delivery {
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
        self.state().is_some_and(PeerState::has_session)
    }

    /// Whether handshakes follow each other at once: one that is only answered, and never confirmed, begins anew. The data path of a
    /// process counts it nevertheless.
    fn is_restless(&self) -> bool {
        let ages = self
            .both()
            .and_then(|(before, after)| Some((before.seconds_since_handshake?, after.seconds_since_handshake?)));
        ages.is_some_and(|(before, after)| before <= RESTLESS_SECONDS && after < before + SECONDS_BETWEEN_LOOKS)
    }

    /// The other end as WireGuard had it at both looks.
    fn both(&self) -> Option<(&'a PeerState, &'a PeerState)> {
        let state = |page: &'a Option<ChecksPage>| page.as_ref()?.wireguard_device()?.peers.get(&self.key);
        Some((state(&self.pages.checks)?, state(&self.pages.later)?))
    }

    /// Bytes that were sent and received between the two looks.
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
    /// Whether both ends have a session that holds.
    pub(super) fn has_session(&self) -> bool {
        self.ends.iter().all(|end| end.is_fresh() && !end.is_restless())
    }

    /// Whether probes go unanswered, one way or the other.
    pub(super) fn is_deaf(&self) -> bool {
        let [one, other] = &self.ends;
        [one.path(other.node), other.path(one.node)].into_iter().flatten().any(|path| path.state == PathState::Down)
    }

    /// Whether there is something that would keep a session alive. Without, an old handshake says nothing.
    pub(super) fn is_in_use(&self) -> bool {
        let [one, other] = &self.ends;
        let keepalive = self.ends.iter().any(|end| end.planned.persistent_keepalive.is_some());
        let sends = self.ends.iter().any(|end| end.moved().is_some_and(|(sent, _)| sent > 0));
        keepalive || sends || one.path(other.node).is_some() || other.path(one.node).is_some()
    }

    /// The ways on which something was sent and nothing arrived.
    pub(super) fn losses(&self) -> impl Iterator<Item = (End<'a>, End<'a>)> {
        self.directions()
            .into_iter()
            .filter(|(_, _, delivery)| *delivery == Delivery::Blocked)
            .map(|(from, to, _)| (from, to))
    }

    /// The two ways: from the first end to the second, and back.
    pub(super) fn directions(&self) -> [(End<'a>, End<'a>, Delivery); 2] {
        let [one, other] = self.ends;
        [(one, other, delivery(&one, &other)), (other, one, delivery(&other, &one))]
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

/// Whether the pages `/checks` should be asked for again after some seconds: nothing passes a tunnel, and only what moves between two
/// looks tells which way is blocked. WireGuard tries again every 5 s.
#[must_use]
pub fn needs_second_sample(observations: &Observations) -> bool {
    let never = |tunnel: &Tunnel<'_>| {
        tunnel.ends.iter().any(|end| end.state().is_none_or(|state| state.seconds_since_handshake.is_none()))
    };
    let is_strange =
        |tunnel: &Tunnel<'_>| tunnel.is_deaf() || (!tunnel.has_session() && (tunnel.is_in_use() || never(tunnel)));
    tunnels(observations).iter().any(is_strange)
}
