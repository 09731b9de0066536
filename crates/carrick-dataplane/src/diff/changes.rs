//! What the comparisons of the parts share.

use std::time::{Duration, SystemTime};

use crate::endpoint_memory::Endpoints;
use crate::operation::Operation;

/// What is known beside the kernel's state.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The present, for the age of handshakes.
    pub now: SystemTime,
    /// The endpoints that were wanted when they were last written.
    pub written_endpoints: &'a Endpoints,
    /// Where peers were last seen to come from while they had a session.
    pub seen_endpoints: &'a Endpoints,
}

/// How long ago something happened; what lies in the future has just happened.
pub(super) fn age(now: SystemTime, since_epoch: Duration) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH + since_epoch).unwrap_or_default()
}

/// Changes of one kind.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) made: Vec<Operation>,
    pub(crate) removed: Vec<Operation>,
}
