//! The state directory: what must outlive a reboot.
//!
//! The directory belongs to one node. One agent at a time uses it.

mod error;
mod private_key;
pub mod saved_cluster;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use carrick_topology::NodeName;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use carrick_types::SecretKey;

use crate::file_error::{FileError, failed};

use error::FILE;
pub use error::StateError;

/// The file that names the node which the directory belongs to.
const NODE_NAME: &str = "node-name";

/// The file with the node's private key.
const PRIVATE_KEY: &str = "private-key";

/// Waits until no agent uses the state directory, and keeps agents from it for as long as the result lives. A directory that does not exist
/// has no agent.
///
/// # Errors
/// The directory cannot be opened or locked.
pub fn wait_for_agent(path: &Path) -> Result<Option<Flock<File>>, FileError> {
    let directory = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("open", path))?,
    };
    match Flock::lock(directory, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((directory, Errno::EWOULDBLOCK)) => {
            tracing::info!(event = "waiting_for_agent", directory = %path.display());
            let lock = Flock::lock(directory, FlockArg::LockExclusive);
            lock.map(Some).map_err(|(_, errno)| failed("lock", path)(errno.into()))
        }
        Err((_, errno)) => Err(failed("lock", path)(errno.into())),
    }
}

/// The state directory, locked for as long as this lives.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: Flock<File>,
}

impl StateDir {
    /// Takes the directory for this node; makes it, mode 0700, if it is not there.
    ///
    /// # Errors
    /// [`StateError::InUse`], [`StateError::ForeignNode`] or [`StateError::File`].
    pub fn open(path: &Path, node: &NodeName) -> Result<Self, StateError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("create", path))?;
        let directory = File::open(path).map_err(failed("open", path))?;
        let lock = Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
            Errno::EWOULDBLOCK => StateError::InUse { path: path.to_owned() },
            errno => failed("lock", path)(errno.into()).into(),
        })?;
        let state = Self { path: path.to_owned(), _lock: lock };
        state.claim(node)?;
        Ok(state)
    }

    /// The node's private key. The first call ever makes one.
    ///
    /// # Errors
    /// [`StateError::CorruptKey`] or [`StateError::File`].
    pub fn private_key(&self) -> Result<SecretKey, StateError> {
        private_key::load_or_generate(&self.file(PRIVATE_KEY))
    }

    /// A file in the directory.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn claim(&self, node: &NodeName) -> Result<(), StateError> {
        let file = self.file(NODE_NAME);
        match fs::read_to_string(&file) {
            Ok(found) if found.trim_end() == node.as_str() => Ok(()),
            Ok(found) => Err(StateError::ForeignNode {
                path: self.path.clone(),
                found: found.trim_end().to_owned(),
                expected: node.clone(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(FILE.write(&file, format!("{node}\n").as_bytes()).map_err(failed("write", &file))?)
            }
            Err(error) => Err(failed("read", &file)(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    #[test]
    fn it_belongs_to_one_node() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lib/carrick");
        drop(StateDir::open(&path, &name("one")).unwrap());
        drop(StateDir::open(&path, &name("one")).unwrap());
        let error = StateDir::open(&path, &name("two")).unwrap_err();
        assert!(matches!(error, StateError::ForeignNode { .. }));
        let text = error.to_string();
        assert!(text.contains("`one`") && text.contains("`two`") && text.contains("--node-name"), "{text}");
    }

    #[test]
    fn one_agent_uses_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateDir::open(folder.path(), &name("one")).unwrap();
        assert!(matches!(StateDir::open(folder.path(), &name("one")), Err(StateError::InUse { .. })));
        drop(first);
        assert!(StateDir::open(folder.path(), &name("one")).is_ok());
    }

    #[test]
    fn the_key_survives_and_others_cannot_read_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("carrick");
        let key = StateDir::open(&path, &name("one")).unwrap().private_key().unwrap();
        assert_eq!(StateDir::open(&path, &name("one")).unwrap().private_key().unwrap(), key);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(PRIVATE_KEY)), 0o600);
    }
}
