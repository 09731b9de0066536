//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::Result;

/// How often a condition is looked at that nothing announces.
const LOOK: Duration = Duration::from_millis(20);
/// How often somebody who watches is told what is waited for.
const TELL: Duration = Duration::from_secs(10);

/// Waits until `look` gives a value; there is no limit but the errors of `look`.
///
/// # Errors
/// Those of `look`, at once.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let mut told = Instant::now();
    loop {
        if let Some(value) = look()? {
            return Ok(value);
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            tracing::info!(event = "still_waiting", what);
        }
        std::thread::sleep(LOOK);
    }
}
