//! The error of an operation on a file.

use std::io;
use std::path::{Path, PathBuf};

/// The file system refuses an operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// The operation, as a verb.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The error of the system call.
    pub source: io::Error,
}

/// Makes the error of a system call on a file into a [`FileError`]; for `map_err`.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source }
}
