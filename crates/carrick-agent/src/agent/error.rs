//! Why the agent ends.

use thiserror::Error;

use crate::exit::Exit;
use crate::state::StateError;

/// Why the agent ended.
#[derive(Debug, Error)]
pub enum AgentError {
    /// A flag, an environment variable or a file is wrong.
    #[error("{0}")]
    Configuration(String),
    /// The state on disk cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The kernel refuses an operation.
    #[error("{0}; the agent needs root, or CAP_NET_ADMIN")]
    Kernel(#[from] carrick_netlink::Error),
    /// The data path lacks a permission.
    #[error("{0}")]
    Permission(String),
    /// The kernel has no WireGuard, and a flag demands it.
    #[error(
        "the kernel has no WireGuard: load the module `wireguard`, or use --wireguard auto or --wireguard userspace"
    )]
    NoKernelWireGuard,
    /// The data path does not start.
    #[error("{0}")]
    WireGuard(String),
    /// The agent has no usable address or credentials of an API server.
    #[error(transparent)]
    Client(#[from] carrick_kube::client::ClientError),
    /// The operating system refuses a basic resource, such as a signal handler.
    #[error("cannot start {0}")]
    Start(String),
}

impl AgentError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::State(StateError::InUse { .. }) => Exit::Failure,
            Self::State(_) | Self::Configuration(_) | Self::Client(_) => Exit::Configuration,
            Self::Kernel(error) if error.is_not_permitted() => Exit::Permission,
            Self::Permission(_) | Self::NoKernelWireGuard => Exit::Permission,
            Self::Kernel(_) | Self::WireGuard(_) | Self::Start(_) => Exit::Failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_exit_status_says_whether_a_restart_may_help() {
        let path = PathBuf::from("/var/lib/carrick");
        for (error, expected) in [
            (AgentError::State(StateError::InUse { path: path.clone() }), Exit::Failure),
            (AgentError::State(StateError::CorruptKey { path }), Exit::Configuration),
            (AgentError::Configuration(String::new()), Exit::Configuration),
            (AgentError::NoKernelWireGuard, Exit::Permission),
            (AgentError::Permission(String::new()), Exit::Permission),
            (AgentError::WireGuard(String::new()), Exit::Failure),
        ] {
            assert_eq!(error.exit(), expected, "{error:?}");
        }
    }
}
