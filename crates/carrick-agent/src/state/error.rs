//! How the agent writes the files of the state directory, and why it cannot use the state.

use std::path::PathBuf;

use carrick_files::{Durability, Replacement};
use carrick_topology::NodeName;

use crate::file_error::FileError;

/// How files of the directory are replaced. They survive a power failure, and only root may read them.
pub(super) const FILE: Replacement = Replacement { mode: 0o600, durability: Durability::PowerFailure };

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another agent uses the directory. That agent may end.
    #[error("another agent uses the state directory {}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The directory belongs to another node: its key and its cluster are not those of this node.
    #[error(
        "the state in {} was written for node `{found}`, and this is node `{expected}`: \
         if the machine got a new name, empty the directory (the node gets a new key); if --node-name is wrong, correct it",
        path.display()
    )]
    ForeignNode {
        /// The directory.
        path: PathBuf,
        /// The node that the directory belongs to.
        found: String,
        /// The node of this agent.
        expected: NodeName,
    },
    /// The file of the private key contains no private key. The agent never replaces the file, because other nodes and
    /// outside peers may know the public key.
    #[error(
        "{} is not a private key (44 characters of base64): restore it, or delete it to give the node a new key",
        path.display()
    )]
    CorruptKey {
        /// The file.
        path: PathBuf,
    },
    /// The file system refuses.
    #[error(transparent)]
    File(#[from] FileError),
}
