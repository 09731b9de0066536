//! The command line of the benchmarks.
#![forbid(unsafe_code)]

mod commands;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Benchmarks of Carrick on clouds in network namespaces of one machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// Measures one real agent beside many Node objects on a real API server.
    Scale(commands::scale::Options),
    /// Measures how long traffic pauses when a gateway fails, and what its return costs.
    Failover(commands::failover::Options),
    /// Measures how long the agent takes to put right what another program deleted or changed.
    Drift(commands::drift::Options),
    /// Measures how long many pods take to start and to end on a real cluster.
    Pods(commands::pods::Options),
}

fn main() -> ExitCode {
    carrick_lab::logging::start();
    run(&Arguments::parse().benchmark).map_or_else(
        |error| {
            tracing::error!(event = "failed", "{error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn run(benchmark: &Benchmark) -> Result<()> {
    match benchmark {
        Benchmark::Scale(options) => commands::scale::run(options),
        Benchmark::Failover(options) => commands::failover::run(options),
        Benchmark::Drift(options) => commands::drift::run(options),
        Benchmark::Pods(options) => commands::pods::run(options),
    }
}
