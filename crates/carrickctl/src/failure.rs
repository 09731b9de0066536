//! Why a command fails.

use std::path::PathBuf;

use carrick_kube::client::ClientError;
use carrick_kube::objects::ObjectsError;
use carrick_kube::with_causes;
use thiserror::Error;

use crate::exit::Exit;

/// Why a command fails.
#[derive(Debug, Error)]
pub enum Failure {
    /// The command line names something that does not exist, or options exclude each other.
    #[error("{0}")]
    Usage(String),
    /// No agent answers.
    #[error("{0}")]
    Unreachable(String),
    /// The API server is not configured.
    #[error(
        "{0}; name a kubeconfig with `--kubeconfig FILE` or in $KUBECONFIG; on a node, `--local` asks the node's agent; `-f FILE` reads saved objects; for a lab, run `carrick-lab carrickctl …`"
    )]
    Client(#[from] ClientError),
    /// The API server does not return Nodes and Peers.
    #[error("{}", with_causes(.0))]
    Objects(#[from] ObjectsError),
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        error: std::io::Error,
    },
    /// The content of a file is not valid.
    #[error("{path}: {reason}", path = .path.display())]
    Content {
        /// The path of the file.
        path: PathBuf,
        /// What is not valid.
        reason: String,
    },
    /// The answer cannot be written.
    #[error("the answer cannot be written: {0}")]
    Output(String),
}

impl Failure {
    /// The exit status for the failure.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::File { .. } | Self::Content { .. } => Exit::Usage,
            Self::Unreachable(_) | Self::Client(_) | Self::Objects(_) => Exit::Unreachable,
            Self::Output(_) => Exit::Unhealthy,
        }
    }
}
