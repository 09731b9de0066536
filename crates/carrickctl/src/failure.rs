//! Why a command gives no answer at all.

use std::path::PathBuf;

use carrick_kube::client::ClientError;
use carrick_kube::objects::ObjectsError;
use carrick_kube::with_causes;
use thiserror::Error;

use crate::exit::Exit;

/// Why a command gives no answer at all.
#[derive(Debug, Error)]
pub enum Failure {
    /// Something was named that there is not, or two things exclude each other.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// No API server is known.
    #[error("{0}; on a node, `--local` asks its own agent, and `-f FILE` reads saved objects")]
    Client(#[from] ClientError),
    /// Nodes and Peers cannot be read.
    #[error("{}", with_causes(.0))]
    Objects(#[from] ObjectsError),
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// Its name.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {reason}", path = .path.display())]
    Content {
        /// Its name.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What was found cannot be written down.
    #[error("the answer cannot be written: {0}")]
    Output(String),
}

impl Failure {
    /// How the command ends.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) | Self::File { .. } | Self::Content { .. } => Exit::Usage,
            Self::Unreachable(_) | Self::Client(_) | Self::Objects(_) => Exit::Unreachable,
            Self::Output(_) => Exit::Unhealthy,
        }
    }
}
