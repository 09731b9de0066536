//! The last good state of the cluster, on the node's disk.
//!
//! With it a node boots into the mesh while the API is away. The functions block: call them where blocking is allowed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use carrick_files::{Durability, Replacement};
use carrick_kube::watch::ClusterUid;
use carrick_topology::{Cluster, NodeName};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of the file's form. A file of another version is not read.
const VERSION: u32 = 1;
const FILE: Replacement = Replacement { mode: 0o600, durability: Durability::PowerFailure };

/// The saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// The cluster that the node belongs to.
    pub cluster_uid: ClusterUid,
    /// The cluster as the API had it.
    pub cluster: Cluster,
}

/// Why a file cannot be used. The agent logs this and continues without the file.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file cannot be read from the disk.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system call.
        source: io::Error,
    },
    /// The file's content is damaged.
    #[error("{} is damaged: {source}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The position and kind of the damage.
        source: serde_json::Error,
    },
    /// Another version of the agent wrote it.
    #[error("{} has version {found}, and this agent reads version {VERSION}", path.display())]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file was written for another node: the disk was cloned, or the node was renamed.
    #[error("{} was written for node `{found}`, and this is node `{me}`: empty the state directory if the node was renamed or its disk copied", path.display())]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// The node that it was written for.
        found: NodeName,
        /// This node.
        me: NodeName,
    },
    /// The file was written in another cluster.
    #[error("{} was written in cluster {found}, and this is cluster {expected}: empty the state directory if the node was moved on purpose", path.display())]
    OtherCluster {
        /// The file.
        path: PathBuf,
        /// The cluster that it was written in.
        found: ClusterUid,
        /// This cluster.
        expected: ClusterUid,
    },
}

/// The format of the file. The cluster comes last, so that the node's name can be read even if the cluster has another format.
#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    node: &'a NodeName,
    cluster_uid: &'a ClusterUid,
    cluster: &'a Cluster,
}

#[derive(Deserialize)]
struct Header {
    version: u32,
    node: NodeName,
    cluster_uid: ClusterUid,
}

#[derive(Deserialize)]
struct Body {
    cluster: Cluster,
}

/// Replaces the file as a whole: after a crash or a power failure it holds either the old state or the new one.
///
/// # Errors
/// The disk is full or cannot be written to. The old file is still there then.
pub fn save(path: &Path, me: &NodeName, cluster_uid: &ClusterUid, cluster: &Cluster) -> io::Result<()> {
    let written = Written { version: VERSION, node: me, cluster_uid, cluster };
    FILE.write_with(path, |writer| Ok(serde_json::to_writer(writer, &written)?))
}

/// Reads the file; `None` if there is none. `expected` is the cluster, where it is known.
///
/// # Errors
/// See [`LoadError`].
pub fn load(path: &Path, me: &NodeName, expected: Option<&ClusterUid>) -> Result<Option<SavedState>, LoadError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoadError::Io { path: path.to_owned(), source }),
    };
    let corrupt = |source| LoadError::Corrupt { path: path.to_owned(), source };
    let header: Header = serde_json::from_slice(&text).map_err(corrupt)?;
    if header.version != VERSION {
        return Err(LoadError::OtherVersion { path: path.to_owned(), found: header.version });
    }
    if header.node != *me {
        return Err(LoadError::OtherNode { path: path.to_owned(), found: header.node, me: me.clone() });
    }
    if let Some(expected) = expected.filter(|expected| **expected != header.cluster_uid) {
        let (found, expected) = (header.cluster_uid, expected.clone());
        return Err(LoadError::OtherCluster { path: path.to_owned(), found, expected });
    }
    let Body { cluster } = serde_json::from_slice(&text).map_err(corrupt)?;
    Ok(Some(SavedState { cluster_uid: header.cluster_uid, cluster }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carrick_kube::annotations::{NodeMetadata, parse_node};
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    fn cluster() -> Cluster {
        let annotations = [
            ("location", "Basel, Keller"),
            ("endpoint", "gate.example:51000"),
            ("internal-addresses", "10.0.0.7/24,fd00::7/64"),
            ("allowed-location-cidrs", "192.168.7.0/24"),
            ("observed-endpoints", "b=203.0.113.9:4500"),
            ("agent", "version=1,protocol=1,settings=0"),
            ("gateway", "garbage"),
        ];
        let metadata = NodeMetadata {
            name: "a".parse().unwrap(),
            created: 7,
            annotations: annotations.map(|(key, value)| (format!("carrick.dev/{key}"), value.to_owned())).into(),
            labels: BTreeMap::new(),
        };
        let parsed = parse_node(&metadata, "region");
        let mut cluster = Cluster::default();
        cluster.insert_node(parsed.node);
        cluster.warnings = parsed.warnings;
        let address = "10.0.1.7/32".parse().unwrap();
        cluster.former_networks = [(address, "c".parse().unwrap())].into();
        cluster.former_addresses_of_agents = [("d".parse().unwrap(), [address].into())].into();
        cluster.former_pod_cidrs = [("d".parse().unwrap(), ["10.42.7.0/24".parse().unwrap()].into())].into();
        cluster
    }

    fn names() -> (NodeName, ClusterUid) {
        ("a".parse().unwrap(), ClusterUid("u".into()))
    }

    #[test]
    fn saved_state_is_loaded_and_only_its_owner_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        let (me, uid) = names();
        assert_eq!(load(&path, &me, None).unwrap(), None);
        save(&path, &me, &uid, &Cluster::default()).unwrap();
        save(&path, &me, &uid, &cluster()).unwrap();
        let loaded = load(&path, &me, Some(&uid)).unwrap().unwrap();
        assert_eq!(loaded, SavedState { cluster_uid: uid, cluster: cluster() });
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_file_of_another_node_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        let (me, uid) = names();
        save(&path, &me, &uid, &cluster()).unwrap();
        let other = load(&path, &"b".parse().unwrap(), None).unwrap_err().to_string();
        assert!(other.contains("written for node `a`") && other.contains("this is node `b`"), "{other}");
        let other = load(&path, &me, Some(&ClusterUid("v".into()))).unwrap_err().to_string();
        assert!(other.contains("cluster u") && other.contains("cluster v"), "{other}");
        let text = fs::read_to_string(&path).unwrap().replacen("\"version\":1", "\"version\":9", 1);
        fs::write(&path, text).unwrap();
        assert!(matches!(load(&path, &me, None), Err(LoadError::OtherVersion { found: 9, .. })));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        let (me, uid) = names();
        save(&path, &me, &uid, &cluster()).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let error = load(&path, &me, None).unwrap_err();
            assert!(matches!(error, LoadError::Corrupt { .. }) && error.to_string().contains("cluster.json"));
        }
    }

    #[test]
    fn the_file_of_a_release_with_fewer_or_more_fields_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        let (me, uid) = names();
        save(&path, &me, &uid, &cluster()).unwrap();
        let mut written: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let fields = written["cluster"].as_object_mut().unwrap();
        assert!(fields.remove("former_networks").is_some());
        assert!(fields.remove("former_pod_cidrs_of_nodes").is_some());
        fields.insert("former_pod_cidrs".to_owned(), vec!["10.42.8.0/24"].into());
        fields.insert("of_a_later_release".to_owned(), vec!["10.0.0.0/8"].into());
        fs::write(&path, written.to_string()).unwrap();
        let loaded = load(&path, &me, Some(&uid)).unwrap().unwrap().cluster;
        let (former_networks, former_pod_cidrs) = (BTreeMap::new(), BTreeMap::new());
        assert_eq!(loaded, Cluster { former_networks, former_pod_cidrs, ..cluster() });
    }

    #[test]
    fn when_writing_fails_the_old_state_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        let (me, uid) = names();
        save(&path, &me, &uid, &cluster()).unwrap();
        fs::create_dir_all(directory.path().join(".cluster.json.new").join("in the way")).unwrap();
        save(&path, &me, &uid, &Cluster::default()).unwrap_err();
        assert_eq!(load(&path, &me, None).unwrap().unwrap().cluster, cluster());
    }
}
