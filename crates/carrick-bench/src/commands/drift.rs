//! The benchmark of drift.

use anyhow::Result;
use carrick_bench::drift::{self, DISTURBANCES, Disturbance, Measurement};
use carrick_lab::text_table;

use super::print;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The number of times that each thing is deleted or changed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// Only things whose name contains this.
    #[arg(long, value_name = "WORD", default_value = "")]
    only: String,
    /// Print one JSON object and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

/// `carrick-bench drift`.
///
/// # Errors
/// The lab does not come up, or a repair does not come.
pub fn run(options: &Options) -> Result<()> {
    let chosen: Vec<Disturbance> = DISTURBANCES.into_iter().filter(|it| it.object.contains(&options.only)).collect();
    let rows = drift::measure(options.runs.into(), &chosen)?;
    if options.json {
        return print(&(serde_json::to_string(&rows)? + "\n"));
    }
    let line = |row: &Measurement| {
        let times = [row.p50_ms, row.p95_ms, row.max_ms].map(|time| format!("{time:.0} ms"));
        [row.object.to_owned(), row.runs.to_string()].into_iter().chain(times).collect()
    };
    print(&text_table::render(&["OBJECT", "RUNS", "P50", "P95", "MAX"], rows.iter().map(line)))
}
