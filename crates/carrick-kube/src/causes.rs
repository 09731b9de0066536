//! An error with all that led to it, in one line.

use std::error::Error;

/// The text of an error and of its sources. A text that contains the text of its source is shown once.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the list cannot be read")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connection refused")]
    struct Inner;

    #[test]
    fn what_failed_comes_before_why() {
        assert_eq!(with_causes(&Outer(Inner)), "the list cannot be read: connection refused");
        assert_eq!(with_causes(&Inner), "connection refused");
    }
}
