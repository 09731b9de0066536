//! The text protocol of userspace WireGuard (<https://www.wireguard.com/xplatform/>): one `key=value` per line, a
//! transaction ends with an empty line.

mod read;
mod write;

pub use read::{Malformed, read};
pub use write::write;

/// The request for a device's whole configuration.
pub const GET: &str = "get=1\n\n";

/// The error number at the end of an answer; `None` when the answer has none.
#[must_use]
pub fn error_number(answer: &str) -> Option<i32> {
    answer.lines().find_map(|line| line.strip_prefix("errno=")).and_then(|number| number.parse().ok())
}

#[cfg(test)]
mod tests;
