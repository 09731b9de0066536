//! The links between nodes, with both directions of each.

use std::collections::BTreeMap;

use carrick_probe::{PathState, ProbedPath};
use carrick_status::StatusPage;
use carrick_topology::NodeName;
use carrick_topology::plan::{PathKind, PeerIdentity};
use serde::Serialize;

/// A link between two nodes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// The node whose name sorts first.
    pub low: NodeName,
    /// The other node.
    pub high: NodeName,
    /// The kind of the link.
    pub kind: LinkKind,
    /// The worse of the states of the two directions.
    pub state: PathState,
    /// The measurements of the first node.
    pub from_low: Option<Measured>,
    /// The measurements of the other node.
    pub from_high: Option<Measured>,
}

/// The kind of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// A tunnel between the two nodes.
    Tunnel,
    /// A path through the mesh over other nodes, such as a relay or gateways.
    Over,
    /// The network of the location.
    Inside,
}

/// The measurements of one node about its path to another node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The state of the path.
    pub state: PathState,
    /// The median of recent round trips, in microseconds.
    pub p50_us: Option<u64>,
    /// The 99th percentile of recent round trips, in microseconds.
    pub p99_us: Option<u64>,
    /// Jitter, in microseconds.
    pub jitter_us: Option<u64>,
    /// The loss of recent probes, from 0 to 1.
    pub loss: Option<f64>,
    /// The path MTU, in bytes.
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

/// All links that a node probes.
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

/// The worse of two states. A known state counts as worse than an unknown one.
const fn worse(one: PathState, other: PathState) -> PathState {
    if severity(one) < severity(other) { other } else { one }
}

const fn severity(state: PathState) -> u8 {
    match state {
        PathState::Unknown => 0,
        PathState::Up => 1,
        PathState::AgentAway => 2,
        PathState::Down => 3,
    }
}
