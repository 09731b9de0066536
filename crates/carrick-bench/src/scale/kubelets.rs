//! Heartbeats: the status of each node is written every ten seconds. The writes are spread evenly.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::api::{Api, Requests};
use super::population::{Population, conditions};

/// How often a kubelet writes the status of its node (`nodeStatusUpdateFrequency`).
const PERIOD: Duration = Duration::from_secs(10);
/// How many heartbeats are written at the same time. Further heartbeats wait, and the number of written heartbeats shows that.
const PARALLEL: usize = 64;

/// The heartbeats of all nodes. They end when this is dropped.
pub(super) struct Kubelets {
    task: JoinHandle<()>,
    written: Arc<AtomicU64>,
}

impl Kubelets {
    /// Starts the heartbeats of the present nodes.
    pub(super) fn start(api: &Api, population: &Population) -> Self {
        let (runtime, requests) = api.background();
        let written = Arc::new(AtomicU64::new(0));
        let task = runtime.spawn(beat(requests, population.names().collect(), written.clone()));
        Self { task, written }
    }

    /// The number of heartbeats so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

impl Drop for Kubelets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn beat(api: Arc<Requests>, names: Vec<String>, written: Arc<AtomicU64>) {
    let Ok(count) = u32::try_from(names.len()) else { return };
    let interval = PERIOD / count;
    let places = Arc::new(Semaphore::new(PARALLEL));
    let mut due = Instant::now();
    for name in names.iter().cycle() {
        tokio::time::sleep_until(due).await;
        // A heartbeat that is more than a period late is skipped, as by a kubelet that cannot reach the API server.
        due = (due + interval).max(Instant::now().checked_sub(PERIOD).unwrap_or(due));
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (api, name, written) = (api.clone(), name.clone(), written.clone());
        tokio::spawn(async move {
            let status = json!({ "conditions": conditions(&jiff::Timestamp::now().to_string()) });
            match api.write_status(&name, &status).await {
                Ok(()) => drop(written.fetch_add(1, Ordering::Relaxed)),
                Err(error) => tracing::warn!(event = "heartbeat_failed", error = %format!("{error:#}")),
            }
            drop(place);
        });
    }
}
