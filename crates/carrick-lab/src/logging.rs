//! The log of the lab's programs.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Writes events to standard error. The environment variable `RUST_LOG` sets the levels; the default is `info`.
pub fn start() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
}
