//! The last good state of the cluster on the node's disk: read at the start, written behind the event loop's back.

use std::path::PathBuf;
use std::sync::Arc;

use carrick_kube::watch::ClusterUid;
use carrick_topology::{Cluster, NodeName};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::state::StateDir;
use crate::state::saved_cluster::{self, SavedState};

/// The last good state of the cluster, in the state directory.
const FILE: &str = "cluster.json";

/// The content to write.
type Content = Option<(ClusterUid, Arc<Cluster>)>;

/// Writes the state of the cluster, one after the other; of those that wait, the newest alone.
pub(super) struct Saver {
    latest: watch::Sender<Content>,
    task: JoinHandle<()>,
}

impl Saver {
    /// Starts the task that writes.
    pub(super) fn start(state: &StateDir, me: &NodeName) -> Self {
        let (latest, contents) = watch::channel(None);
        Self { latest, task: tokio::spawn(serve(contents, state.file(FILE), me.clone())) }
    }

    /// Writes soon. A disk may take its time.
    pub(super) fn save(&self, uid: ClusterUid, cluster: &Arc<Cluster>) {
        self.latest.send_replace(Some((uid, Arc::clone(cluster))));
    }

    /// Waits until all is written.
    pub(super) async fn finish(self) {
        drop(self.latest);
        if let Err(error) = self.task.await {
            tracing::warn!(event = "state_not_written", %error);
        }
    }
}

/// A file that cannot be used is reported and left alone: the API will tell all of it again.
pub(super) fn load(state: &StateDir, me: &NodeName) -> Option<SavedState> {
    match saved_cluster::load(&state.file(FILE), me, None) {
        Ok(saved) => {
            if let Some(saved) = &saved {
                let (nodes, peers) = (saved.cluster.nodes.len(), saved.cluster.peers.len());
                tracing::info!(event = "state_restored", nodes, peers);
            }
            saved
        }
        Err(error) => {
            tracing::warn!(event = "state_unusable", %error);
            None
        }
    }
}

async fn serve(mut contents: watch::Receiver<Content>, path: PathBuf, me: NodeName) {
    // What was sent last is still seen after the sender is gone.
    while contents.changed().await.is_ok() {
        let Some((uid, cluster)) = contents.borrow_and_update().clone() else { continue };
        let (path, me) = (path.clone(), me.clone());
        let written = spawn_blocking(move || saved_cluster::save(&path, &me, &uid, &cluster)).await;
        let error = match written {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(event = "state_not_written", %error, "a reboot without the API would start from older knowledge");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_sent_last_is_on_the_disk_when_it_has_finished() {
        let folder = tempfile::tempdir().unwrap();
        let me: NodeName = "a".parse().unwrap();
        let state = StateDir::open(folder.path(), &me).unwrap();
        let uid = ClusterUid("63617272-6963-4b00-8000-000000000001".to_owned());
        let saver = Saver::start(&state, &me);
        for number in 1..=3 {
            let mut cluster = Cluster::default();
            cluster.insert_node(carrick_topology::model::Node::new(format!("node-{number}").parse().unwrap(), number));
            saver.save(uid.clone(), &Arc::new(cluster));
        }
        saver.finish().await;
        let saved = load(&state, &me).unwrap();
        assert_eq!(saved.cluster.nodes.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["node-3"]);
    }
}
