//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The shortest and the longest time between two checks of a condition that no event reports.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The pause after a check, as a multiple of the check's duration: a slow check must not slow down what it checks.
const PAUSE_FACTOR: u32 = 4;
/// The limit of every wait. A condition that takes longer on any machine will not hold.
const LIMIT: Duration = Duration::from_mins(15);
/// How often the log reports a wait.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// Waits until `check` returns a value.
///
/// # Errors
/// Those of `check`, at once; `check` returns no value for 15 minutes.
pub fn until<T>(what: &str, check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until_or_limit(what, LIMIT, check)
}

fn until_or_limit<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    let mut reported = began;
    loop {
        let check_began = Instant::now();
        if let Some(value) = check()? {
            return Ok(value);
        }
        if began.elapsed() > limit {
            bail!("timed out after {} s: waited for {what}", limit.as_secs());
        }
        if reported.elapsed() > REPORT_INTERVAL {
            reported = Instant::now();
            tracing::info!(event = "still_waiting", what);
        }
        std::thread::sleep(pause_after(check_began.elapsed()));
    }
}

fn pause_after(check: Duration) -> Duration {
    (check * PAUSE_FACTOR).clamp(PAUSE.0, PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_check_is_made_less_often() {
        let pauses = [0, 1, 100, 5000].map(|millis| pause_after(Duration::from_millis(millis)).as_millis());
        assert_eq!(pauses, [20, 20, 400, 1000]);
    }

    #[test]
    fn a_wait_ends_at_its_limit_and_names_the_condition() {
        let error = until_or_limit::<()>("the impossible", Duration::from_millis(1), || Ok(None)).unwrap_err();
        assert_eq!(error.to_string(), "timed out after 0 s: waited for the impossible");
        assert_eq!(until_or_limit("a value", Duration::from_millis(1), || Ok(Some(7))).unwrap(), 7);
        let mut checks = 0;
        let third = until("the third check", || {
            checks += 1;
            Ok((checks == 3).then_some(checks))
        });
        assert_eq!(third.unwrap(), 3);
    }
}
