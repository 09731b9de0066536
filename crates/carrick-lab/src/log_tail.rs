//! The end of a program's log, for errors.

use std::path::Path;

/// How many lines of a log an error shows.
const LINES: usize = 20;

/// The last lines of a log; empty if the file cannot be read.
pub(crate) fn log_tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
