//! The time format of the pages.

use std::time::SystemTime;

/// A time in milliseconds since 1970-01-01 UTC; 0 for a time before that.
#[must_use]
pub fn unix_ms(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
