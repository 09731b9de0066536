//! What another program changes again and again, in the words of every surface that reports it.

use std::collections::BTreeMap;

/// What to do about repeated drift.
pub const REPEATED_DRIFT_REMEDY: &str = "find the program and configure it to leave this alone; `ip monitor`, `nft monitor` and `auditctl -w /proc/sys/net` show its changes";

/// The things that the agent repaired again and again, each with the number of repairs, as one sentence; `None` if there are none.
#[must_use]
pub fn describe_repeated_drift(repeated: &BTreeMap<String, usize>) -> Option<String> {
    if repeated.is_empty() {
        return None;
    }
    let things: Vec<String> = repeated.iter().map(|(thing, repairs)| format!("{thing} ({repairs} times)")).collect();
    Some(format!(
        "another program undoes what the agent writes, and the agent repaired in the last 10 minutes: {}",
        things.join(", ")
    ))
}
