//! Why an operation failed.

use crate::operation::Operation;
use crate::wireguard::WireGuardError;

/// An operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {cause}")]
pub struct Failure {
    /// What was to be done.
    pub operation: Operation,
    /// Why it could not be.
    #[source]
    pub cause: FailureCause,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum FailureCause {
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] carrick_netlink::Error),
    /// WireGuard refused, or does not answer.
    #[error(transparent)]
    WireGuard(#[from] WireGuardError),
    /// The setting cannot be written.
    #[error(transparent)]
    Sysctl(#[from] std::io::Error),
}
