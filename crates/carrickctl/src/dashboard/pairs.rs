//! The cells of the matrix of locations.

use std::collections::BTreeMap;

use carrick_probe::{PathState, ProbedPath};
use carrick_status::StatusPage;
use carrick_topology::LocationName;
use serde::Serialize;

/// The measurements of the nodes of one location about the paths to another location, or inside their own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The location that measures.
    pub from: LocationName,
    /// The location that answers.
    pub to: LocationName,
    /// The state of the paths.
    pub state: PairState,
    /// The number of probed paths.
    pub paths: usize,
    /// The number of paths that are down.
    pub down: usize,
    /// The median round trip of the slowest path that is up, in microseconds.
    pub p50_us: Option<u64>,
    /// The loss of the worst path that is up, from 0 to 1.
    pub loss: Option<f64>,
    /// The path MTU of the narrowest path that is up, in bytes.
    pub mtu: Option<u32>,
    /// The traffic through tunnels in this direction, in bytes per second.
    pub sent_bytes_per_second: f64,
}

/// The state of the paths of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PairState {
    /// No state is known yet.
    Unknown,
    /// No path is down.
    Up,
    /// Some paths are down.
    Partial,
    /// All paths with a known state are down.
    Down,
}

/// All pairs that a node measures.
pub(super) fn of(pages: &[&StatusPage]) -> Vec<Pair> {
    let mut paths: BTreeMap<(&LocationName, &LocationName), Vec<&ProbedPath>> = BTreeMap::new();
    for page in pages {
        let Some(plan) = &page.plan else { continue };
        for path in &page.paths {
            paths.entry((&plan.location.name, &path.location)).or_default().push(path);
        }
    }
    paths.into_iter().map(|((from, to), paths)| pair(from, to, &paths, pages)).collect()
}

fn pair(from: &LocationName, to: &LocationName, paths: &[&ProbedPath], pages: &[&StatusPage]) -> Pair {
    let in_state = |state| paths.iter().filter(move |path| path.state == state);
    let up = || in_state(PathState::Up);
    let (down, unknown) = (in_state(PathState::Down).count(), in_state(PathState::Unknown).count());
    let traffic = pages.iter().flat_map(|page| &page.traffic);
    Pair {
        from: from.clone(),
        to: to.clone(),
        state: match down {
            _ if unknown == paths.len() => PairState::Unknown,
            0 => PairState::Up,
            _ if down + unknown == paths.len() => PairState::Down,
            _ => PairState::Partial,
        },
        paths: paths.len(),
        down,
        p50_us: up().filter_map(|path| Some(path.round_trip?.p50_us)).max(),
        loss: up().filter_map(|path| path.loss).max_by(f64::total_cmp),
        mtu: up().filter_map(|path| path.mtu).min(),
        sent_bytes_per_second: traffic
            .filter(|traffic| traffic.from == *from && traffic.to == *to)
            .map(|traffic| traffic.sent_bytes_per_second)
            .sum(),
    }
}
