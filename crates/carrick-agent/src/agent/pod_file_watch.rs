//! Notices that another program changed or removed a file of the CNI plugin's installation.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::AgentError;
use super::kernel_events::KernelEvent;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(1_500);

/// What shows that a file was changed: `None` for a file that is not there.
type Traces = Vec<Option<(u64, u64, u32, SystemTime)>>;

/// Starts the thread. It ends when the receiver of `to_loop` is dropped.
///
/// # Errors
/// The thread cannot be created.
pub(super) fn start(files: Vec<PathBuf>, to_loop: mpsc::Sender<KernelEvent>) -> Result<(), AgentError> {
    let watch = move || {
        let mut before = traces(&files);
        loop {
            std::thread::sleep(INTERVAL);
            let now = traces(&files);
            let is_changed = now != before;
            before = now;
            if (is_changed && to_loop.blocking_send(KernelEvent::PodFilesChanged).is_err()) || to_loop.is_closed() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("pod-files".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(|error| AgentError::Start(format!("a thread: {error}")))
}

fn traces(files: &[PathBuf]) -> Traces {
    let trace = |file: &PathBuf| {
        let metadata = std::fs::symlink_metadata(file).ok()?;
        Some((metadata.ino(), metadata.len(), metadata.mode(), metadata.modified().ok()?))
    };
    files.iter().map(trace).collect()
}
