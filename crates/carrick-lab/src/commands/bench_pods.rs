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
    /// The medians of Carrick's plugin in shares of the reference plugins'.
    ready_ratio: f64,
    gone_ratio: f64,
}

/// `carrick-lab bench-pods`.
///
/// # Errors
/// The cluster does not come up, or its pods do not.
pub fn bench_pods(options: &Options) -> Result<ExitCode> {
    let lives = pod_life::measure(&options.reference, options.pods.into(), options.rounds.into())?;
    let ratio = |time: fn(&Life) -> f64| median(&lives, Plugin::Carrick, time) / median(&lives, Plugin::Bridge, time);
    let (ready_ratio, gone_ratio) = (ratio(|life| life.ready_seconds), ratio(|life| life.gone_seconds));
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

/// The lower one of two in the middle; every plugin has lived once at least.
fn median(lives: &[Life], plugin: Plugin, time: fn(&Life) -> f64) -> f64 {
    let mut times: Vec<f64> = lives.iter().filter(|life| life.plugin == plugin).map(time).collect();
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_of_one_plugin() {
        let life = |plugin, ready_seconds| Life { plugin, ready_seconds, gone_seconds: 0.0 };
        let lives = [
            life(Plugin::Carrick, 3.0),
            life(Plugin::Bridge, 9.0),
            life(Plugin::Carrick, 1.0),
            life(Plugin::Carrick, 2.0),
        ];
        assert_eq!(median(&lives, Plugin::Carrick, |life| life.ready_seconds), 2.0);
        assert_eq!(median(&lives, Plugin::Bridge, |life| life.ready_seconds), 9.0);
    }
}
