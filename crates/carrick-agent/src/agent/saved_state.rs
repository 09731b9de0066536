//! The last good state of the cluster on the node's disk: read at the start, written behind the event loop's back.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use carrick_core::{Event, Fault, FaultSource};
use carrick_kube::watch::ClusterUid;
use carrick_topology::{Cluster, NodeName};
use nix::sys::statvfs::{FsFlags, statvfs};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::file_error::failed;
use crate::state::StateDir;
use crate::state::saved_cluster::{self, SavedState};

/// The last good state of the cluster, in the state directory.
const FILE: &str = "cluster.json";

/// How long the agent waits before it looks at the file system again, and writes again what it could not write. A steady cluster gives
/// nothing to write, so that only a look shows that the next write would fail.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// The content to write.
type Content = Option<(ClusterUid, Arc<Cluster>)>;

/// Writes the state of the cluster, one after the other; of those that wait, the newest alone.
pub(super) struct Saver {
    latest: watch::Sender<Content>,
    task: JoinHandle<()>,
}

impl Saver {
    /// Starts the task that writes. It tells `faults` what keeps it from writing.
    pub(super) fn start(state: &StateDir, me: &NodeName, faults: mpsc::Sender<Event>) -> Self {
        Self::start_with(state, me, LOOK_INTERVAL, faults)
    }

    fn start_with(state: &StateDir, me: &NodeName, interval: Duration, faults: mpsc::Sender<Event>) -> Self {
        let (latest, contents) = watch::channel(None);
        let writer = Writer {
            contents,
            path: state.file(FILE),
            me: me.clone(),
            interval,
            unsaved: None,
            failure: None,
            told: None,
            faults,
        };
        Self { latest, task: tokio::spawn(writer.run()) }
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

struct Writer {
    contents: watch::Receiver<Content>,
    path: PathBuf,
    me: NodeName,
    interval: Duration,
    /// What could not be written yet.
    unsaved: Content,
    /// What keeps the state from being written.
    failure: Option<String>,
    /// The failure that the event loop knows.
    told: Option<String>,
    faults: mpsc::Sender<Event>,
}

impl Writer {
    async fn run(mut self) {
        loop {
            tokio::select! {
                changed = self.contents.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    // What was sent last is still seen after the sender is gone.
                    self.unsaved.clone_from(&self.contents.borrow_and_update());
                }
                () = tokio::time::sleep(self.interval) => {}
            }
            self.write_or_look().await;
            self.tell();
        }
        if self.unsaved.is_some() {
            self.write_or_look().await;
        }
    }

    async fn write_or_look(&mut self) {
        let (path, me) = (self.path.clone(), self.me.clone());
        let (unsaved, latest) = (self.unsaved.clone(), self.contents.borrow().clone());
        let done = spawn_blocking(move || {
            let missing = || latest.filter(|_| !path.exists());
            let Some((uid, cluster)) = unsaved.or_else(missing) else { return look(&path) };
            saved_cluster::save(&path, &me, &uid, &cluster).map_err(|error| failed("write", &path)(error).to_string())
        });
        let failure = match done.await {
            Ok(Ok(())) => {
                self.unsaved = None;
                None
            }
            Ok(Err(error)) => Some(error),
            Err(error) => Some(error.to_string()),
        };
        if failure != self.failure {
            match &failure {
                Some(error) => {
                    tracing::warn!(
                        event = "state_not_written",
                        error,
                        "a reboot without the API would start from older knowledge"
                    );
                }
                None => tracing::info!(event = "state_written"),
            }
            self.failure = failure;
        }
    }

    /// Tells the event loop of a change. If the queue of the loop is full, the next look tells it.
    fn tell(&mut self) {
        if self.failure == self.told {
            return;
        }
        let faults: BTreeSet<Fault> = self.failure.clone().map(Fault::StateNotWritten).into_iter().collect();
        if self.faults.try_send(Event::Faults(FaultSource::SavedState, faults)).is_ok() {
            self.told.clone_from(&self.failure);
        }
    }
}

/// Whether the file system of the file takes more. Writes nothing.
fn look(path: &Path) -> Result<(), String> {
    let directory = path.parent().unwrap_or(path);
    let system = statvfs(directory).map_err(|errno| failed("examine", directory)(errno.into()).to_string())?;
    let shown = directory.display();
    if system.flags().contains(FsFlags::ST_RDONLY) {
        return Err(format!("the file system of {shown} is read-only"));
    }
    if system.blocks() > 0 && system.blocks_free() == 0 {
        return Err(format!("no space left on the file system of {shown}"));
    }
    // File systems without a table of files report none at all.
    if system.files() > 0 && system.files_free() == 0 {
        return Err(format!("no space left for another file on the file system of {shown}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(20);
    const LIMIT: Duration = Duration::from_secs(60);

    fn me() -> NodeName {
        "a".parse().unwrap()
    }

    fn uid() -> ClusterUid {
        ClusterUid("63617272-6963-4b00-8000-000000000001".to_owned())
    }

    fn cluster_of(name: &str) -> Arc<Cluster> {
        let mut cluster = Cluster::default();
        cluster.insert_node(carrick_topology::model::Node::new(name.parse().unwrap(), 1));
        Arc::new(cluster)
    }

    /// A saver that looks often, and what it tells.
    fn saver(folder: &Path) -> (Saver, mpsc::Receiver<Event>) {
        let state = StateDir::open(folder, &me()).unwrap();
        let (events, told) = mpsc::channel(1);
        (Saver::start_with(&state, &me(), INTERVAL, events), told)
    }

    async fn next(told: &mut mpsc::Receiver<Event>) -> Option<Fault> {
        let event = tokio::time::timeout(LIMIT, told.recv()).await.unwrap().unwrap();
        let Event::Faults(FaultSource::SavedState, faults) = event else { panic!("{event:?}") };
        faults.into_iter().next()
    }

    fn saved(folder: &Path) -> Vec<String> {
        let saved = saved_cluster::load(&folder.join(FILE), &me(), None).unwrap().unwrap();
        saved.cluster.nodes.keys().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_a_fault_and_is_written_once_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let (saver, mut told) = saver(folder.path());
        // The kernel puts no file in the place of a directory that is not empty.
        let in_the_way = folder.path().join(FILE);
        std::fs::create_dir_all(in_the_way.join("full")).unwrap();
        saver.save(uid(), &cluster_of("first"));
        let Some(Fault::StateNotWritten(reason)) = next(&mut told).await else { panic!("no fault") };
        assert!(reason.contains(FILE), "{reason}");

        // No further change tells the saver to write.
        std::fs::remove_dir_all(in_the_way).unwrap();
        assert_eq!(next(&mut told).await, None);
        assert_eq!(saved(folder.path()), ["first"]);
        saver.finish().await;
    }

    #[tokio::test]
    async fn a_directory_that_takes_no_files_is_a_fault_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("carrick");
        let (saver, mut told) = saver(&path);
        let away = folder.path().join("away");
        std::fs::rename(&path, &away).unwrap();
        assert!(matches!(next(&mut told).await, Some(Fault::StateNotWritten(_))));
        std::fs::rename(&away, &path).unwrap();
        assert_eq!(next(&mut told).await, None);
        saver.finish().await;
    }

    #[tokio::test]
    async fn a_file_that_is_deleted_is_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let (saver, _told) = saver(folder.path());
        saver.save(uid(), &cluster_of("first"));
        for _ in 0..2 {
            let deadline = std::time::Instant::now() + LIMIT;
            while !folder.path().join(FILE).exists() {
                assert!(std::time::Instant::now() < deadline, "the file is missing");
                tokio::time::sleep(INTERVAL).await;
            }
            assert_eq!(saved(folder.path()), ["first"]);
            std::fs::remove_file(folder.path().join(FILE)).unwrap();
        }
        saver.finish().await;
    }

    #[tokio::test]
    async fn what_was_sent_last_is_on_the_disk_when_it_has_finished() {
        let folder = tempfile::tempdir().unwrap();
        let me: NodeName = "a".parse().unwrap();
        let state = StateDir::open(folder.path(), &me).unwrap();
        let uid = ClusterUid("63617272-6963-4b00-8000-000000000001".to_owned());
        let saver = Saver::start(&state, &me, mpsc::channel(1).0);
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
