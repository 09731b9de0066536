//! Why a control plane could not be started or used.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why a control plane could not be started or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The programs do not exist and could not be built.
    #[error("{} found or built no kube-apiserver ({status})", script.display())]
    Assets {
        /// The script that was run.
        script: PathBuf,
        /// The script's exit status.
        status: ExitStatus,
    },
    /// A file or a program could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The action, as a verb.
        action: &'static str,
        /// The file or the program.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The network namespace cannot be used.
    #[error("cannot work in the network namespace: {0}")]
    Namespace(#[source] io::Error),
    /// A program ended.
    #[error("{program} ended ({status}); its log ends with:\n{log}")]
    Ended {
        /// The program.
        program: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// A program did not become ready.
    #[error("{program} is not ready after {} s; its log ends with:\n{log}", limit.as_secs())]
    NotReady {
        /// The program.
        program: &'static str,
        /// How long the caller waited.
        limit: Duration,
        /// The last lines of its log.
        log: String,
    },
    /// kubectl failed.
    #[error("kubectl {arguments}: {stderr}")]
    Kubectl {
        /// kubectl's arguments.
        arguments: String,
        /// kubectl's standard error.
        stderr: String,
    },
}

impl Error {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
