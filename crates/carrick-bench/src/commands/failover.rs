//! The benchmark of a gateway that fails.

use anyhow::Result;
use carrick_bench::failover::{self, Measurement, ProbingCost, Quantiles};
use carrick_lab::failure::Failure;
use carrick_lab::text_table;
use serde::Serialize;

use super::print;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The number of failures of each kind; 0 measures only what probing costs.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(0..=1000))]
    runs: u16,
    /// The kinds of failure; all by default.
    #[arg(long = "failure", value_name = "KIND", value_enum)]
    failures: Vec<Failure>,
    /// Print one JSON object and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    probing: ProbingCost,
    rows: Vec<Measurement>,
}

/// `carrick-bench failover`.
///
/// # Errors
/// A lab does not come up, or its traffic stops.
pub fn run(options: &Options) -> Result<()> {
    let probing = failover::probing_cost()?;
    let mut rows = Vec::new();
    let failures = if options.failures.is_empty() { &Failure::ALL[..] } else { &options.failures };
    for failure in failures.iter().filter(|_| options.runs > 0) {
        rows.push(failover::measure(*failure, options.runs.into())?);
    }
    if options.json {
        return print(&(serde_json::to_string(&Output { probing, rows })? + "\n"));
    }
    let ProbingCost { agents, percent, probes_per_second } = probing;
    print(&format!(
        "{}probing costs each of {agents} agents {percent:.3} % of a processor, at {probes_per_second:.1} probes a second\n",
        table(&rows)
    ))
}

fn table(rows: &[Measurement]) -> String {
    let head =
        ["FAILURE", "RUNS", "GAP P50", "P95", "MAX", "LOST ON RETURN P50", "P95", "MAX", "RETURNS WITH LOSS", "TWICE"];
    let quantiles = |quantiles: Option<&Quantiles>, unit: &str| {
        let text = |value: f64| format!("{value:.0}{unit}");
        quantiles.map_or_else(
            || ["-", "-", "-"].map(str::to_owned),
            |quantiles| [text(quantiles.p50), text(quantiles.p95), text(quantiles.max)],
        )
    };
    let line = |row: &Measurement| {
        let failure = match row.failure {
            Failure::CutOff => "cut off",
            Failure::PowerOff => "power off",
            Failure::WireGuardKilled => "WireGuard killed",
        };
        let gap = quantiles(Some(&row.gap_ms), " ms");
        let lost = quantiles(row.lost_on_return.as_ref(), "");
        let counts = [row.returns_with_loss.to_string(), row.answered_twice.to_string()];
        [failure.to_owned(), row.runs.to_string()].into_iter().chain(gap).chain(lost).chain(counts).collect()
    };
    text_table::render(&head, rows.iter().map(line))
}
