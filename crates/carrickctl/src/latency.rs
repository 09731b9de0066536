//! `carrickctl latency`: round trips, loss and path MTU between locations or nodes, measured by the agents' probes.

use std::collections::{BTreeMap, BTreeSet};

use carrick_probe::{PathState, ProbedPath, ROUND_TRIP_BOUNDS, RoundTripCounts};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Cell, Column, Document, Style, Table, View, loss_cell, loss_style, units};
use crate::snapshot::{Agent, Snapshot};

/// The width of the longest bar of a histogram, in columns.
const WIDEST_BAR: u64 = 40;

/// What the pairs consist of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Between {
    /// Locations.
    Locations,
    /// Nodes.
    Nodes,
}

/// How the answer is written for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// One line for each ordered pair.
    List,
    /// A matrix of median round trips.
    Matrix,
    /// A histogram of the round trips of one ordered pair.
    Histogram(String, String),
}

/// The results of the agents' probes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// What the pairs consist of.
    pub between: Between,
    /// The ordered pairs.
    pub pairs: Vec<Pair>,
    #[serde(skip)]
    form: Form,
}

/// The measurements of an ordered pair.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pair {
    /// The location or node that sends probes.
    pub from: String,
    /// The location or node that answers.
    pub to: String,
    /// The number of probed paths between nodes.
    pub paths: usize,
    /// The number of these paths that are down.
    pub down: usize,
    /// The shortest recent round trip, in microseconds.
    pub min_us: Option<u64>,
    /// The median of the paths' median round trips, in microseconds.
    pub p50_us: Option<u64>,
    /// The 99th percentile of the round trips on the worst path, in microseconds.
    pub p99_us: Option<u64>,
    /// The jitter of the worst path, in microseconds.
    pub jitter_us: Option<u64>,
    /// The mean loss of the paths, from 0 to 1.
    pub loss: Option<f64>,
    /// The size of the largest packet that passes on every path, in bytes.
    pub mtu: Option<u32>,
    /// All round trips, by duration.
    pub histogram: RoundTripCounts,
}

impl Latency {
    /// Summarizes the measurements on the agents' pages.
    ///
    /// # Errors
    /// No path of the pair of a histogram is probed.
    pub fn of(snapshot: &Snapshot, between: Between, form: Form) -> Result<Self, Failure> {
        let paths = paths(snapshot, between);
        let mut pairs: Vec<Pair> = paths.into_iter().map(|((from, to), paths)| pair(from, to, &paths)).collect();
        if let Form::Histogram(from, to) = &form {
            pairs.retain(|pair| pair.from == *from && pair.to == *to);
            if pairs.is_empty() {
                return Err(Failure::Usage(not_probed(snapshot, between, from, to)));
            }
        }
        Ok(Self { between, pairs, form })
    }
}

/// The probed paths of each ordered pair.
fn paths(snapshot: &Snapshot, between: Between) -> BTreeMap<(String, String), Vec<&ProbedPath>> {
    let mut paths: BTreeMap<(String, String), Vec<&ProbedPath>> = BTreeMap::new();
    for (agent, page) in snapshot.pages() {
        let location = page.plan.as_ref().map(|plan| plan.location.name.to_string());
        for path in &page.paths {
            let pair = match (between, &location) {
                (Between::Nodes, _) => (agent.name.clone(), path.to.to_string()),
                (Between::Locations, Some(location)) => (location.clone(), path.location.to_string()),
                (Between::Locations, None) => continue,
            };
            paths.entry(pair).or_default().push(path);
        }
    }
    paths
}

/// Why there is no histogram of a pair, for people.
fn not_probed(snapshot: &Snapshot, between: Between, from: &str, to: &str) -> String {
    let pair = (from.to_owned(), to.to_owned());
    let (other, list) = match between {
        Between::Locations => (Between::Nodes, "carrickctl latency"),
        Between::Nodes => (Between::Locations, "carrickctl latency --nodes"),
    };
    let meant = paths(snapshot, other).remove(&pair).and_then(|paths| paths.first().copied());
    match (between, meant) {
        (Between::Locations, Some(path)) => {
            let location = snapshot.agent(from).and_then(Agent::plan).map(|plan| plan.location.name.as_str());
            let names = location.map(|location| format!(" ({location}, {})", path.location)).unwrap_or_default();
            format!("`{from}` and `{to}` are nodes: name locations{names}, or add --nodes")
        }
        (Between::Nodes, Some(_)) => format!("`{from}` and `{to}` are locations: name nodes, or omit --nodes"),
        (_, None) => format!("no agent probes the path from `{from}` to `{to}`; `{list}` lists the probed paths"),
    }
}

fn pair(from: String, to: String, paths: &[&ProbedPath]) -> Pair {
    let trips: Vec<_> = paths.iter().filter_map(|path| path.round_trip).collect();
    let mut medians: Vec<u64> = trips.iter().map(|trip| trip.p50_us).collect();
    medians.sort_unstable();
    let losses: Vec<f64> = paths.iter().filter_map(|path| path.loss).collect();
    let mut histogram = RoundTripCounts::default();
    for path in paths {
        for (sum, count) in histogram.counts.iter_mut().zip(path.histogram.counts) {
            *sum += count;
        }
        histogram.sum_seconds += path.histogram.sum_seconds;
    }
    Pair {
        from,
        to,
        paths: paths.len(),
        down: paths.iter().filter(|path| path.state == PathState::Down).count(),
        min_us: trips.iter().map(|trip| trip.min_us).min(),
        p50_us: medians.get(medians.len() / 2).copied(),
        p99_us: trips.iter().map(|trip| trip.p99_us).max(),
        jitter_us: trips.iter().map(|trip| trip.jitter_us).max(),
        loss: (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64),
        mtu: paths.iter().filter_map(|path| path.mtu).min(),
        histogram,
    }
}

impl View for Latency {
    fn draw(&self, document: &mut Document) {
        match &self.form {
            _ if self.pairs.is_empty() => document.line("no agent has sent probes yet"),
            Form::List => self.draw_list(document),
            Form::Matrix => self.draw_matrix(document),
            Form::Histogram(..) => self.pairs.iter().for_each(|pair| pair.draw_histogram(document)),
        }
    }

    fn exit(&self) -> Exit {
        if self.pairs.iter().any(|pair| pair.down > 0) { Exit::Unhealthy } else { Exit::Healthy }
    }
}

impl Latency {
    fn draw_list(&self, document: &mut Document) {
        let mut table = Table::new([
            Column::text("FROM"),
            Column::text("TO"),
            Column::numbers("MIN"),
            Column::numbers("P50"),
            Column::numbers("P99"),
            Column::numbers("JITTER"),
            Column::numbers("LOSS"),
            Column::numbers("MTU"),
            Column::text("PATHS"),
        ]);
        for pair in &self.pairs {
            let milliseconds = |time: Option<u64>| Cell::or_dash(time.map(units::milliseconds));
            table.row([
                Cell::plain(&pair.from),
                Cell::plain(&pair.to),
                milliseconds(pair.min_us),
                pair.median_cell(),
                milliseconds(pair.p99_us),
                milliseconds(pair.jitter_us),
                loss_cell(pair.loss),
                Cell::or_dash(pair.mtu),
                pair.paths_cell(),
            ]);
        }
        document.table(&table);
    }

    fn draw_matrix(&self, document: &mut Document) {
        let names: BTreeSet<&str> = self.pairs.iter().flat_map(|pair| [pair.from.as_str(), pair.to.as_str()]).collect();
        let corner = Column::text("FROM \\ TO");
        let mut table = Table::new(std::iter::once(corner).chain(names.iter().map(|name| Column::numbers(*name))));
        for from in &names {
            let cells = names.iter().map(|to| {
                let pair = self.pairs.iter().find(|pair| pair.from == *from && pair.to == *to);
                pair.map_or_else(|| Cell::or_dash(None::<&str>), Pair::median_cell)
            });
            table.row(std::iter::once(Cell::plain(from)).chain(cells));
        }
        document.table(&table);
    }
}

impl Pair {
    fn median_cell(&self) -> Cell {
        let loss = self.loss.unwrap_or_default();
        match self.p50_us {
            _ if self.down == self.paths => Cell::of("down", Style::Bad),
            None => Cell::or_dash(None::<&str>),
            Some(median) => {
                Cell::of(units::milliseconds(median), if loss == 0.0 { Style::Good } else { loss_style(loss) })
            }
        }
    }

    fn paths_cell(&self) -> Cell {
        match self.down {
            0 => Cell::plain(self.paths),
            down => Cell::of(format_args!("{} ({down} down)", self.paths), Style::Bad),
        }
    }

    fn draw_histogram(&self, document: &mut Document) {
        document.styled(format_args!("{} to {}", self.from, self.to), Style::Strong);
        let counts = self.histogram.counts;
        let most = counts.iter().copied().max().unwrap_or_default();
        let used: Vec<usize> =
            counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(index, _)| index).collect();
        let (Some(first), Some(last)) = (used.first(), used.last()) else {
            document.line("no answer yet");
            return;
        };
        let mut table = Table::new([Column::numbers("ROUND TRIP"), Column::numbers("COUNT"), Column::text("")]);
        for (index, count) in counts.iter().enumerate().take(last + 1).skip(*first) {
            let bar = "█".repeat(usize::try_from((count * WIDEST_BAR).div_ceil(most.max(1))).unwrap_or_default());
            table.row([bucket(index).into(), (*count).into(), bar.into()]);
        }
        document.table(&table);
    }
}

/// The upper bound of a bucket, for people.
fn bucket(index: usize) -> String {
    let milliseconds = |seconds: f64| format!("{} ms", (seconds * 1e6).round() / 1e3);
    match (ROUND_TRIP_BOUNDS.get(index), ROUND_TRIP_BOUNDS.last()) {
        (Some(bound), _) => format!("≤ {}", milliseconds(*bound)),
        (None, last) => format!("> {}", milliseconds(last.copied().unwrap_or_default())),
    }
}
