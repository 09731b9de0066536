//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The shortest and the longest time between two looks at a condition that nothing announces.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// A look that takes long must not keep a processor from what it looks for: so many times its length are left between two.
const REST: u32 = 4;
/// What takes longer on any machine does not happen any more.
const LIMIT: Duration = Duration::from_mins(15);
/// How often somebody who watches is told what is waited for.
const TELL: Duration = Duration::from_secs(10);

/// Waits until `look` gives a value.
///
/// # Errors
/// Those of `look`, at once; there is no value after a quarter of an hour.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let began = Instant::now();
    let mut told = began;
    loop {
        let looked = Instant::now();
        if let Some(value) = look()? {
            return Ok(value);
        }
        if began.elapsed() > LIMIT {
            bail!("waited for {what} in vain, for {} minutes", LIMIT.as_secs() / 60);
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            tracing::info!(event = "still_waiting", what);
        }
        std::thread::sleep(pause_after(looked.elapsed()));
    }
}

fn pause_after(look: Duration) -> Duration {
    (look * REST).clamp(PAUSE.0, PAUSE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dear_look_is_taken_less_often() {
        let pauses = [0, 1, 100, 5000].map(|millis| pause_after(Duration::from_millis(millis)).as_millis());
        assert_eq!(pauses, [20, 20, 400, 1000]);
    }
}
