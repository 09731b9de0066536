//! Gateways of one location and what a node hears of them, for tests.

use std::time::Duration;

use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use super::{FailureDetector, ISOLATION_TIME, Observer, Report};
use crate::Now;
use crate::flap_count::FlapCount;
use crate::heard_peers::{HeardPeers, Reachability};
use crate::path_use::PathUse;
use crate::probed_path::PathState;

pub(crate) const HEARS: HeardPeers = HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::SomePeer };
pub(crate) const NO_PEER_IN_TUNNELS: HeardPeers =
    HeardPeers { tunnels: Reachability::NoPeer, inside: Reachability::SomePeer };
pub(crate) const NO_PEER_INSIDE: HeardPeers =
    HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::NoPeer };
pub(crate) const OUTSIDER: Observer<'_> = Observer {
    gateway_of: None,
    heard_peers: HEARS,
    draining_since: None,
    well_since: Some(Now::ZERO),
    hears_tunnels_since: Some(Now::ZERO),
    far_delay: Duration::ZERO,
};

pub(crate) struct Fixture {
    pub(crate) failure_detector: FailureDetector,
    pub(crate) location: LocationName,
    pub(crate) gateways: Vec<NodeName>,
    pub(crate) now: Now,
    /// Since when gateways hear a peer on their other side, if they do.
    pub(crate) connected_since: Now,
    /// Since when gateways say that they have been well.
    pub(crate) well_since: Option<Now>,
    /// What gateways say of the tunnel to this node.
    pub(crate) path_use: PathUse,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self {
            failure_detector: FailureDetector::default(),
            location: "a".parse().unwrap(),
            gateways: vec!["a1".parse().unwrap(), "a2".parse().unwrap()],
            now: Duration::from_secs(1000),
            connected_since: Now::ZERO,
            well_since: None,
            path_use: PathUse::Unsaid,
        }
    }

    /// Evaluates reports on the gateways, and returns the gateways that are down.
    pub(crate) fn evaluate(
        &mut self,
        observer: Observer<'_>,
        kind: PathKind,
        heard: &[(PathState, HeardPeers)],
    ) -> Vec<String> {
        let now = self.now;
        let report = |(node, (state, heard_peers)): (_, (PathState, HeardPeers))| Report {
            node,
            location: &self.location,
            kind,
            state,
            flap_count: FlapCount::default(),
            counted_flaps: FlapCount::default(),
            path_use: self.path_use,
            answered_at: (state != PathState::Down).then_some(now),
            silent_since: (state == PathState::Down).then_some(now - ISOLATION_TIME),
            well_since: self.well_since,
            draining_since: None,
            isolated_since: [heard_peers.tunnels, heard_peers.inside]
                .contains(&Reachability::NoPeer)
                .then_some(now - ISOLATION_TIME),
            connected_since: (heard_peers.by(kind.other_side()) == Reachability::SomePeer)
                .then_some(self.connected_since),
        };
        let reports: Vec<_> = self.gateways.iter().zip(heard.iter().copied()).map(report).collect();
        self.failure_detector.evaluate(self.now, observer, &reports);
        self.failure_detector.down().iter().map(ToString::to_string).collect()
    }

    /// The same on a node of another location, some seconds later.
    pub(crate) fn after(&mut self, seconds: u64, heard: &[(PathState, HeardPeers)]) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.evaluate(OUTSIDER, PathKind::Tunnel, heard)
    }
}

pub(crate) const UP: (PathState, HeardPeers) = (PathState::Up, HEARS);
pub(crate) const DOWN: (PathState, HeardPeers) =
    (PathState::Down, HeardPeers { tunnels: Reachability::Unknown, inside: Reachability::Unknown });
pub(crate) const AWAY: (PathState, HeardPeers) = (PathState::AgentAway, DOWN.1);
