//! Log lines on stderr: `tracing` events with a greppable `event` field.

mod printable_lines;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use printable_lines::PrintableLines;

/// The engine logs single packets at ERROR, the client each failed request; what matters of both is an event of ours.
const MUTED: &str = "gotatun=off,kube_client::client::builder=off";

/// The format of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people: one line of text per event.
    #[default]
    Text,
    /// For log collectors: one JSON object per line.
    Json,
}

/// Sends all events of this process to stderr.
///
/// `level` is a level (`info`) or a list of directives as the crate `tracing-subscriber` takes them
/// (`info,carrick_agent=debug`).
///
/// # Errors
/// [`ParseError`] when `level` is neither.
pub fn start(format: LogFormat, level: &str) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(format!("{MUTED},{level}"))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| PrintableLines::to(std::io::stderr()))
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => subscriber.init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}
