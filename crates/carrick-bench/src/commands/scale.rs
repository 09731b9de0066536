//! The benchmark of one agent in clusters of several sizes.

use std::time::Duration;

use anyhow::Result;
use carrick_bench::scale::{self, Measurement, Parameters, Report};
use carrick_lab::text_table;

use super::print;

const HEAD: [&str; 11] = [
    "NODES",
    "LOCATIONS",
    "SETTLED",
    "RESIDENT (PEAK)",
    "CPU/MIN",
    "PROBING",
    "FROM API/MIN",
    "WRITES/MIN",
    "HEARTBEATS/MIN",
    "ENDPOINT P50 P95",
    "NEW NODE P50 P95",
];

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The sizes of the clusters, in nodes, the agent's own node included.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 200, 1000, 5000], value_parser = cluster_size)]
    nodes: Vec<usize>,
    /// How long a steady cluster is measured, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// How many changes of each kind are made.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    changes: u16,
    /// Print one JSON object and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

fn cluster_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(nodes @ 5..=10_000) => Ok(nodes),
        Ok(_) | Err(_) => Err("a cluster has 5 to 10000 nodes here".to_owned()),
    }
}

/// `carrick-bench scale`.
///
/// # Errors
/// A cluster does not come up, or its agent does not follow it.
pub fn run(options: &Options) -> Result<()> {
    let mut measurements = Vec::new();
    for nodes in &options.nodes {
        let measurement = scale::measure(Parameters {
            nodes: *nodes,
            steady: Duration::from_secs(options.seconds),
            changes: options.changes.into(),
        })?;
        tracing::info!(event = "measured", nodes, measurement = %serde_json::to_string(&measurement)?);
        measurements.push(measurement);
    }
    if options.json {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        return print(&(serde_json::to_string(&Report { processors, measurements })? + "\n"));
    }
    print(&text_table::render(&HEAD, measurements.iter().map(line)))
}

fn line(one: &Measurement) -> Vec<String> {
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    vec![
        one.nodes.to_string(),
        one.locations.to_string(),
        format!("{:.1} s", one.settle_seconds),
        format!("{} ({}) MB", megabytes(one.resident_bytes), megabytes(one.peak_bytes)),
        format!("{:.2} s", one.cpu_seconds_per_minute),
        format!("{:.2} %", one.probing_percent),
        format!("{:.0} kB", one.bytes_from_api_per_minute / 1e3),
        format!("{:.1}", one.writes_per_minute),
        format!("{:.0}", one.heartbeats_per_minute),
        format!("{:.0} {:.0} ms", one.changed_endpoint.p50_ms, one.changed_endpoint.p95_ms),
        format!("{:.0} {:.0} ms", one.new_node.p50_ms, one.new_node.p95_ms),
    ]
}
