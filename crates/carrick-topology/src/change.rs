//! Changes of a cluster.

use std::collections::BTreeSet;

use crate::model::{Cluster, Mesh, Node, NodeName, ObjectName, Peer, PeerName, Warning};

/// One object that differs from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node.
    Node {
        /// Its name.
        name: NodeName,
        /// What it is; `None` once it was deleted.
        node: Option<Box<Node>>,
        /// All that could not be read of it.
        warnings: BTreeSet<Warning>,
    },
    /// A peer.
    Peer {
        /// Its name.
        name: PeerName,
        /// What it is; `None` once it was deleted, and while the object cannot be used.
        peer: Option<Box<Peer>>,
        /// All that could not be read of it.
        warnings: BTreeSet<Warning>,
    },
    /// The settings that all nodes share.
    Mesh {
        /// What the object gives; `None` once it was deleted.
        mesh: Option<Box<Mesh>>,
        /// All that could not be read of it.
        warnings: BTreeSet<Warning>,
    },
}

impl Change {
    /// Makes the change in what is known of the cluster, warnings included.
    pub fn apply(self, cluster: &mut Cluster) {
        let (object, warnings) = match self {
            Self::Node { name, node, warnings } => {
                let object = ObjectName::Node(name.clone());
                match node {
                    Some(node) => drop(cluster.nodes.insert(name, *node)),
                    None => drop(cluster.nodes.remove(&name)),
                }
                (object, warnings)
            }
            Self::Peer { name, peer, warnings } => {
                let object = ObjectName::Peer(name.clone());
                match peer {
                    Some(peer) => drop(cluster.peers.insert(name, *peer)),
                    None => drop(cluster.peers.remove(&name)),
                }
                (object, warnings)
            }
            Self::Mesh { mesh, warnings } => {
                cluster.mesh = mesh.map(|mesh| *mesh);
                (ObjectName::Mesh, warnings)
            }
        };
        cluster.warnings.retain(|warning| warning.object != object);
        cluster.warnings.extend(warnings);
    }
}
