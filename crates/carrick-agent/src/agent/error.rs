//! Why the agent ends.

use thiserror::Error;

use crate::exit::Exit;

/// Why the agent ended.
#[derive(Debug, Error)]
pub enum AgentError {
    /// A flag, an environment variable or a file is wrong.
    #[error("{0}")]
    Configuration(String),
    /// The state on disk cannot be used.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// The kernel refuses.
    #[error("{0}; the agent needs root, or CAP_NET_ADMIN")]
    Kernel(#[from] carrick_netlink::Error),
    /// The data path lacks a permission.
    #[error("{0}")]
    Permission(String),
    /// No WireGuard can be had.
    #[error("{0}")]
    WireGuard(String),
    /// The API server cannot even be asked.
    #[error(transparent)]
    Client(#[from] carrick_kube::client::ClientError),
    /// Something that every process needs is missing.
    #[error("cannot start {0}")]
    Start(String),
}

impl AgentError {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::State(_) => Exit::Configuration,
            Self::Configuration(_) | Self::Client(_) => Exit::Configuration,
            Self::Kernel(error) if error.is_not_permitted() => Exit::Permission,
            Self::Permission(_) => Exit::Permission,
            Self::Kernel(_) | Self::WireGuard(_) | Self::Start(_) => Exit::Failure,
        }
    }
}
