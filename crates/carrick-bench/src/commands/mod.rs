//! The benchmarks as commands.

pub mod drift;
pub mod failover;
pub mod pods;
pub mod scale;

use std::io::Write as _;

use anyhow::{Context as _, Result};

/// Writes to standard output.
fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("write to standard output")
}
