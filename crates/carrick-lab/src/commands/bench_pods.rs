//! The benchmark of pods that come and go on a real cluster.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use carrick_lab::pod_life::{self, Life, Plugin};
use serde::Serialize;

use super::table::render;

/// What to measure.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many pods come and go at once.
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
    lives: Vec<Life>,
    /// See [`pod_life::ratio`].
    ready_ratio: f64,
    gone_ratio: f64,
}

/// `carrick-lab bench-pods`.
///
/// # Errors
/// The cluster does not come up, or its pods do not.
pub fn bench_pods(options: &Options) -> Result<ExitCode> {
    let lives = pod_life::measure(&options.reference, options.pods.into(), options.rounds.into())?;
    let ready_ratio = pod_life::ratio(&lives, |life| life.ready_seconds)?;
    let gone_ratio = pod_life::ratio(&lives, |life| life.gone_seconds)?;
    let mut output = std::io::stdout().lock();
    if options.json {
        let document = Output { pods: options.pods, lives, ready_ratio, gone_ratio };
        writeln!(output, "{}", serde_json::to_string(&document)?)?;
    } else {
        let text = format!("Carrick's medians are {ready_ratio:.2} (ready) and {gone_ratio:.2} (gone) of the bridge's");
        writeln!(output, "{}{text}", table(&lives))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(lives: &[Life]) -> String {
    let line = |life: &Life| {
        let plugin = match life.plugin {
            Plugin::Carrick => "carrick",
            Plugin::Bridge => "bridge",
        };
        let times = [life.ready_seconds, life.gone_seconds].map(|seconds| format!("{seconds:.1} s"));
        [plugin.to_owned()].into_iter().chain(times).collect()
    };
    let head = ["PLUGIN", "READY", "GONE"].map(str::to_owned).to_vec();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(lives.iter().map(line)).collect();
    render(&lines)
}
