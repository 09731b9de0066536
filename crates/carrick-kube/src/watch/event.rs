//! The events of the watch.

use std::fmt;
use std::time::Instant;

use carrick_topology::Change;
use serde::{Deserialize, Serialize};

use crate::own_node::OwnNode;

/// By which a cluster is known: the UID of its namespace `kube-system`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClusterUid(pub String);

impl fmt::Display for ClusterUid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Something about the cluster became known.
#[derive(Clone, Debug, PartialEq)]
pub enum ClusterEvent {
    /// These nodes and peers changed, never none. After a list they come in one event.
    Changed(Vec<Change>),
    /// Sent once: everything that the API has is known, all changes up to now were sent before this.
    Synced(ClusterUid),
    /// The own Node as it is; sent at first, and when something of it changed that the agent needs.
    OwnNode(Box<OwnNode>),
    /// There is no Node of this name, or it was deleted. What is known of the cluster stays as it is.
    OwnNodeMissing,
    /// The API server came or went.
    Api(ApiState),
}

/// The state of the connection to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiState {
    /// The server has not answered yet, or the first lists are not complete.
    Syncing,
    /// Everything that it has is known, and changes arrive.
    Synced,
    /// The server does not answer, or refuses. The known objects stay in use.
    Lost {
        /// The time of the first failure.
        since: Instant,
        /// The first failure.
        error: String,
    },
    /// The server belongs to another cluster. Its answers are ignored.
    ForeignCluster {
        /// The cluster that this node belongs to.
        expected: ClusterUid,
        /// The cluster that answered.
        found: ClusterUid,
    },
}
