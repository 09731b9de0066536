//! How long a check waits for an answer.

use std::time::Duration;

/// How long the API server and the data path may take to answer. The client of the page waits for both.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_200);
