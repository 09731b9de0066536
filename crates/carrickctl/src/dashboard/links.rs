//! The ways between nodes, both directions of each in one.

use std::collections::BTreeMap;

use carrick_probe::{PathState, ProbedPath};
use carrick_status::StatusPage;
use carrick_topology::NodeName;
use carrick_topology::plan::{PathKind, PeerIdentity};
use serde::Serialize;

/// The way between two nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// The node whose name comes first.
    pub low: NodeName,
    /// The other node.
    pub high: NodeName,
    /// What kind of way.
    pub kind: LinkKind,
    /// The worse state of the two directions.
    pub state: PathState,
    /// What the first node measured.
    pub from_low: Option<Measured>,
    /// What the other node measured.
    pub from_high: Option<Measured>,
}

/// What kind of way leads from node to node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// One tunnel.
    Tunnel,
    /// The mesh, over other nodes: a relay or gateways.
    Over,
    /// The network of the location.
    Inside,
}

/// What one node measured of the way to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Whether the other end is heard.
    pub state: PathState,
    /// The median of recent round trips, in microseconds.
    pub p50_us: Option<u64>,
    /// What 99 of 100 recent round trips stay within, in microseconds.
    pub p99_us: Option<u64>,
    /// Jitter, in microseconds.
    pub jitter_us: Option<u64>,
    /// The share of recent probes without an answer, from 0 to 1.
    pub loss: Option<f64>,
    /// The largest IP packet that passes, in bytes.
    pub mtu: Option<u32>,
}

impl Measured {
    fn of(path: &ProbedPath) -> Self {
        let round_trip = path.round_trip.as_ref();
        Self {
            state: path.state,
            p50_us: round_trip.map(|round_trip| round_trip.p50_us),
            p99_us: round_trip.map(|round_trip| round_trip.p99_us),
            jitter_us: round_trip.map(|round_trip| round_trip.jitter_us),
            loss: path.loss,
            mtu: path.mtu,
        }
    }
}

/// All ways that some node probes.
pub(super) fn of(pages: &[&StatusPage]) -> Vec<Link> {
    let mut links: BTreeMap<(NodeName, NodeName, PathKind), Link> = BTreeMap::new();
    for page in pages {
        let Some(from) = &page.node else { continue };
        for path in page.paths.iter().filter(|path| path.to != *from) {
            let (low, high) = if *from < path.to { (from, &path.to) } else { (&path.to, from) };
            let link = links.entry((low.clone(), high.clone(), path.kind)).or_insert_with(|| Link {
                low: low.clone(),
                high: high.clone(),
                kind: kind(page, path),
                state: path.state,
                from_low: None,
                from_high: None,
            });
            link.state = worse(link.state, path.state);
            *(if from == low { &mut link.from_low } else { &mut link.from_high }) = Some(Measured::of(path));
        }
    }
    links.into_values().collect()
}

fn kind(page: &StatusPage, path: &ProbedPath) -> LinkKind {
    let is_peer = |identity: &PeerIdentity| *identity == PeerIdentity::Node(path.to.clone());
    match path.kind {
        PathKind::Inside => LinkKind::Inside,
        PathKind::Tunnel => {
            let mut peers = page.plan.iter().flat_map(|plan| plan.wireguard.peers.values());
            if peers.any(|peer| is_peer(&peer.identity)) { LinkKind::Tunnel } else { LinkKind::Over }
        }
    }
}

/// The worse of two states. One direction that is known says more than one that is not.
const fn worse(one: PathState, other: PathState) -> PathState {
    if badness(one) < badness(other) { other } else { one }
}

const fn badness(state: PathState) -> u8 {
    match state {
        PathState::Unknown => 0,
        PathState::Up => 1,
        PathState::AgentAway => 2,
        PathState::Down => 3,
    }
}
