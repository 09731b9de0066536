//! Two gateways of one location and what a node hears of them, for tests.

use std::time::Duration;

use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use super::{DEAF_TIME, FailureDetector, Observer, Report};
use crate::Now;
use crate::flap_count::FlapCount;
use crate::packet::{HeardPeers, Reachability};
use crate::probed_path::PathState;

pub(crate) const HEARS: HeardPeers = HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::SomePeer };
pub(crate) const NO_TUNNEL: HeardPeers = HeardPeers { tunnels: Reachability::NoPeer, inside: Reachability::SomePeer };
pub(crate) const NOBODY_INSIDE: HeardPeers =
    HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::NoPeer };
pub(crate) const OUTSIDER: Observer<'_> =
    Observer { gateway_of: None, heard_peers: HEARS, hears_tunnels_since: Some(Now::ZERO), far_delay: Duration::ZERO };

pub(crate) struct Fixture {
    pub(crate) failure_detector: FailureDetector,
    pub(crate) location: LocationName,
    pub(crate) gateways: [NodeName; 2],
    pub(crate) now: Now,
    /// Since when those hear somebody on their other side that do.
    pub(crate) hears_since: Now,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self {
            failure_detector: FailureDetector::default(),
            location: "a".parse().unwrap(),
            gateways: ["a1".parse().unwrap(), "a2".parse().unwrap()],
            now: Duration::from_secs(1000),
            hears_since: Now::ZERO,
        }
    }

    pub(crate) fn hears(
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
            heard_from: (state == PathState::Up).then_some(now),
            silent_from: (state == PathState::Down).then_some(now - DEAF_TIME),
            well_since: None,
            deaf_since: [heard_peers.tunnels, heard_peers.inside]
                .contains(&Reachability::NoPeer)
                .then_some(now - DEAF_TIME),
            hears_since: (heard_peers.by(kind.other_side()) == Reachability::SomePeer).then_some(self.hears_since),
        };
        let reports: Vec<_> = self.gateways.iter().zip(heard.iter().copied()).map(report).collect();
        self.failure_detector.evaluate(self.now, observer, &reports);
        self.failure_detector.down().iter().map(ToString::to_string).collect()
    }

    pub(crate) fn after(&mut self, seconds: u64, heard: &[(PathState, HeardPeers)]) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.hears(OUTSIDER, PathKind::Tunnel, heard)
    }
}

pub(crate) const UP: (PathState, HeardPeers) = (PathState::Up, HEARS);
pub(crate) const DOWN: (PathState, HeardPeers) =
    (PathState::Down, HeardPeers { tunnels: Reachability::Unknown, inside: Reachability::Unknown });
pub(crate) const AWAY: (PathState, HeardPeers) = (PathState::AgentAway, DOWN.1);
