//! The nodes that are down, in a file that survives a restart of the agent but not a reboot. An agent that starts must not send traffic to
//! a gateway that it found down before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use carrick_files::{Durability, Replacement};
use carrick_topology::Liveness;

const FILE: Replacement = Replacement { mode: 0o600, durability: Durability::ProcessEnd };

/// The file in the run directory.
#[derive(Debug)]
pub(super) struct KnownLiveness {
    path: PathBuf,
}

impl KnownLiveness {
    pub(super) fn in_directory(run_directory: &Path) -> Self {
        Self { path: run_directory.join("liveness.json") }
    }

    /// What the agent wrote before it was restarted. All nodes are live if there is no file, or if it cannot be parsed.
    pub(super) fn load(&self) -> Liveness {
        let read = fs::read(&self.path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from));
        match read {
            Ok(liveness) => liveness,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Liveness::default(),
            Err(error) => {
                tracing::warn!(event = "liveness_not_read", file = %self.path.display(), %error, "all nodes count as live");
                Liveness::default()
            }
        }
    }

    /// Replaces the file.
    pub(super) fn keep(&self, liveness: &Liveness) {
        let kept = serde_json::to_vec(liveness).map_err(io::Error::from).and_then(|json| FILE.write(&self.path, &json));
        if let Err(error) = kept {
            tracing::warn!(event = "liveness_not_written", file = %self.path.display(), %error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_loaded_and_a_broken_one_means_that_all_nodes_are_live() {
        let folder = tempfile::tempdir().unwrap();
        let file = KnownLiveness::in_directory(folder.path());
        assert_eq!(file.load(), Liveness::default());
        let down = Liveness::without(["a1".parse().unwrap()]);
        file.keep(&down);
        assert_eq!(KnownLiveness::in_directory(folder.path()).load(), down);
        fs::write(&file.path, b"{").unwrap();
        assert_eq!(file.load(), Liveness::default());
    }
}
