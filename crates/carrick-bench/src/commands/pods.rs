//! The benchmark of pods that start and end on a real cluster.

use std::path::PathBuf;

use anyhow::Result;
use carrick_bench::pod_churn::{self, Plugin, Round};
use carrick_lab::text_table;
use serde::Serialize;

use super::print;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many pods start and end at once.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=500))]
    pods: u16,
    /// How often, with each plugin.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// The directory of the reference plugins.
    #[arg(long, value_name = "DIRECTORY")]
    reference: PathBuf,
    /// Print one JSON object and nothing else on standard output.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Output {
    pods: u16,
    rounds: Vec<Round>,
    /// See [`pod_churn::ratio`].
    ready_ratio: f64,
    gone_ratio: f64,
}

/// `carrick-bench pods`.
///
/// # Errors
/// The cluster or its pods do not come up.
pub fn run(options: &Options) -> Result<()> {
    let rounds = pod_churn::measure(&options.reference, options.pods.into(), options.rounds.into())?;
    let ready_ratio = pod_churn::ratio(&rounds, |round| round.ready_seconds)?;
    let gone_ratio = pod_churn::ratio(&rounds, |round| round.gone_seconds)?;
    if options.json {
        let document = Output { pods: options.pods, rounds, ready_ratio, gone_ratio };
        return print(&(serde_json::to_string(&document)? + "\n"));
    }
    let text = format!("Carrick's medians are {ready_ratio:.2} (ready) and {gone_ratio:.2} (gone) of the bridge's");
    print(&format!("{}{text}\n", table(&rounds)))
}

fn table(rounds: &[Round]) -> String {
    let line = |round: &Round| {
        let plugin = match round.plugin {
            Plugin::Carrick => "carrick",
            Plugin::Bridge => "bridge",
        };
        let times = [round.ready_seconds, round.gone_seconds].map(|seconds| format!("{seconds:.1} s"));
        [plugin.to_owned()].into_iter().chain(times).collect()
    };
    text_table::render(&["PLUGIN", "READY", "GONE"], rounds.iter().map(line))
}
