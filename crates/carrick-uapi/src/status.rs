//! What a server answers.

mod format;
mod read;

pub use format::{format_error, format_status};
pub use read::{MalformedStatus, read_status};

/// The error number at the end of an answer; `None` if the answer has none.
#[must_use]
pub fn error_number(answer: &str) -> Option<i32> {
    answer.lines().find_map(|line| line.strip_prefix("errno=")).and_then(|number| number.parse().ok())
}
