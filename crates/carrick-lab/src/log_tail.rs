//! The end of a program's log, for the error that tells that it has ended.

use std::path::Path;

/// How much of a log an error shows.
const LINES: usize = 20;

/// The last lines of a log; none of a file that cannot be read.
pub(crate) fn log_tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
