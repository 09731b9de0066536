//! The node data: what the agent tells the plugin about the node, in the file `node.json` of the run directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use carrick_files::{Durability, Replacement};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::written::Written;

/// The run directory if the configuration does not name one.
pub const DEFAULT_RUN_DIRECTORY: &str = "/run/carrick";

const FILE_NAME: &str = "node.json";

/// What the plugin needs to know about the node. The agent writes the data when it has programmed the mesh, and again when the
/// data changes. Pods that are already attached keep their addresses and MTU.
///
/// As JSON: `{"podCidrs":["10.42.0.0/24","fd42::/64"],"mtu":1370}`. Unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeData {
    /// The ranges of the pods' addresses. Each pod gets one address of each family that occurs. Several ranges of one family are
    /// used in this order, and then again from the first.
    pub pod_cidrs: Vec<IpNet>,
    /// The MTU of the pods' interfaces in bytes, without the Ethernet header.
    pub mtu: u32,
    /// The UDP port of the node's WireGuard device, which no pod can have as a host port. Agents of former versions do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireguard_port: Option<u16>,
    /// Why new pods should not start on this node, if so: a fault that stops packets of its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Why the node data could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NodeDataError {
    /// The agent has not written the file since the machine started.
    #[error("{}: the file does not exist yet", .0.display())]
    Missing(PathBuf),
    /// The file exists and cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The content of the file is not node data.
    #[error("{}: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and how the JSON is wrong.
        source: serde_json::Error,
    },
}

impl NodeData {
    /// Replaces the file if its content differs. Creates the run directory if it does not exist.
    ///
    /// # Errors
    ///
    /// The run directory cannot be created, or the file cannot be written.
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

    /// The file of the data.
    #[must_use]
    pub fn path(run_directory: &Path) -> PathBuf {
        run_directory.join(FILE_NAME)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeData {
        NodeData {
            pod_cidrs: vec!["10.42.0.0/24".parse().unwrap(), "fd42::/64".parse().unwrap()],
            mtu: 1370,
            wireguard_port: None,
            fault: None,
        }
    }

    #[test]
    fn written_data_is_read_back_and_only_changes_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let run_directory = directory.path().join("run");
        assert_eq!(node().write(&run_directory).unwrap(), Written::Changed);
        assert_eq!(NodeData::read(&run_directory).unwrap(), node());
        assert_eq!(node().write(&run_directory).unwrap(), Written::Unchanged);
        assert_eq!(NodeData { mtu: 1280, ..node() }.write(&run_directory).unwrap(), Written::Changed);
    }

    #[test]
    fn the_format_on_disk_does_not_change() {
        let directory = tempfile::tempdir().unwrap();
        node().write(directory.path()).unwrap();
        let content = fs::read_to_string(directory.path().join("node.json")).unwrap();
        assert_eq!(content, r#"{"podCidrs":["10.42.0.0/24","fd42::/64"],"mtu":1370}"#);
    }

    #[test]
    fn a_missing_and_a_damaged_file_are_different_errors() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(NodeData::read(directory.path()), Err(NodeDataError::Missing(_))));
        fs::write(directory.path().join("node.json"), r#"{"podCidrs":["10.42.0.0/33"],"mtu":1370}"#).unwrap();
        assert!(matches!(NodeData::read(directory.path()), Err(NodeDataError::Damaged { .. })));
    }
}
