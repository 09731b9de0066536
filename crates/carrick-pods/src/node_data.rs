//! What the agent tells the plugin about the node: the file `node.json` in the run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use carrick_files::{Durability, Replacement};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The run directory where the configuration names none.
pub const DEFAULT_RUN_DIRECTORY: &str = "/run/carrick";

const FILE_NAME: &str = "node.json";

/// The node as pods see it. The agent writes it once the mesh is programmed, and again when it changes;
/// pods that are attached already keep what they have.
///
/// As JSON: `{"podCidrs":["10.42.0.0/24","fd42::/64"],"mtu":1370}`. Unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeData {
    /// Where the addresses of this node's pods come from. One of each family that occurs is given to
    /// every pod; several ranges of one family are used up in this order, round and round.
    pub pod_cidrs: Vec<IpNet>,
    /// MTU of the pods' devices in bytes, without the Ethernet header.
    pub mtu: u32,
}

/// Why the node's data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NodeDataError {
    /// The agent has not written it since the machine was started.
    #[error("{}: not there yet", .0.display())]
    Missing(PathBuf),
    /// The file exists and cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{}: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the JSON goes wrong.
        source: serde_json::Error,
    },
}

impl NodeData {
    /// Writes the file atomically, unless it says the same already. Makes the run directory where it is missing.
    ///
    /// # Errors
    ///
    /// The run directory cannot be made or written.
    pub fn write(&self, run_directory: &Path) -> io::Result<Written> {
        if Self::read(run_directory).is_ok_and(|current| current == *self) {
            return Ok(Written::Unchanged);
        }
        fs::create_dir_all(run_directory)?;
        let content = serde_json::to_vec(self)?;
        Replacement { mode: 0o644, durability: Durability::ProcessEnd }
            .write(&run_directory.join(FILE_NAME), &content)?;
        Ok(Written::Changed)
    }

    /// Reads the file.
    ///
    /// # Errors
    ///
    /// See [`NodeDataError`].
    pub fn read(run_directory: &Path) -> Result<Self, NodeDataError> {
        let path = run_directory.join(FILE_NAME);
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(NodeDataError::Missing(path)),
            Err(source) => return Err(NodeDataError::Unreadable { path, source }),
        };
        serde_json::from_slice(&content).map_err(|source| NodeDataError::Damaged { path, source })
    }
}

/// Whether a file had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was missing or different.
    Changed,
    /// It was right already and was not touched.
    Unchanged,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeData {
        NodeData { pod_cidrs: vec!["10.42.0.0/24".parse().unwrap(), "fd42::/64".parse().unwrap()], mtu: 1370 }
    }

    #[test]
    fn reads_what_it_wrote_and_writes_only_changes() {
        let directory = tempfile::tempdir().unwrap();
        let run_directory = directory.path().join("run");
        assert_eq!(node().write(&run_directory).unwrap(), Written::Changed);
        assert_eq!(NodeData::read(&run_directory).unwrap(), node());
        assert_eq!(node().write(&run_directory).unwrap(), Written::Unchanged);
        assert_eq!(NodeData { mtu: 1280, ..node() }.write(&run_directory).unwrap(), Written::Changed);
    }

    #[test]
    fn keeps_its_form_on_disk() {
        let directory = tempfile::tempdir().unwrap();
        node().write(directory.path()).unwrap();
        let content = fs::read_to_string(directory.path().join("node.json")).unwrap();
        assert_eq!(content, r#"{"podCidrs":["10.42.0.0/24","fd42::/64"],"mtu":1370}"#);
    }

    #[test]
    fn tells_missing_from_damaged() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(NodeData::read(directory.path()), Err(NodeDataError::Missing(_))));
        fs::write(directory.path().join("node.json"), r#"{"podCidrs":["10.42.0.0/33"],"mtu":1370}"#).unwrap();
        assert!(matches!(NodeData::read(directory.path()), Err(NodeDataError::Damaged { .. })));
    }
}
