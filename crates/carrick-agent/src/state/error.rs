//! How files of the state directory are written, and why the state cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use carrick_files::{Durability, Replacement};
use carrick_topology::NodeName;

/// How files of the directory are replaced. They survive a power failure, and only root may read them.
pub(super) const FILE: Replacement = Replacement { mode: 0o600, durability: Durability::PowerFailure };

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another agent uses it; it may go.
    #[error("another agent uses the state directory {}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It belongs to another node: its key and its cluster are not this node's.
    #[error(
        "the state in {} was written for node `{found}`, and this is node `{expected}`: \
         if the machine got a new name, empty the directory (the node gets a new key); if --node-name is wrong, correct it",
        path.display()
    )]
    ForeignNode {
        /// The directory.
        path: PathBuf,
        /// The node that it belongs to.
        found: String,
        /// The node that wants to use it.
        expected: NodeName,
    },
    /// A private key is there and cannot be read as one. It is never replaced, because other nodes and outside peers
    /// may know its public key.
    #[error(
        "{} is not a private key (44 characters of base64): restore it, or delete it to give the node a new key",
        path.display()
    )]
    CorruptKey {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}
