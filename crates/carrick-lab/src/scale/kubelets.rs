//! Heartbeats: each node's status is written every ten seconds, evenly spread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::api::{Api, Requests};
use super::population::{Population, conditions};

/// How often a kubelet writes the status of its node (`--node-status-update-frequency`).
const PERIOD: Duration = Duration::from_secs(10);
/// How many heartbeats are under way at a time; the rest waits, and the count of those written shows it.
const PARALLEL: usize = 64;

/// The heartbeats of all nodes; they end with this.
pub(super) struct Kubelets {
    task: JoinHandle<()>,
    written: Arc<AtomicU64>,
}

impl Kubelets {
    /// Starts them for the nodes that there are now.
    pub(super) fn start(api: &Api, population: &Population) -> Self {
        let (runtime, requests) = api.background();
        let written = Arc::new(AtomicU64::new(0));
        let task = runtime.spawn(beat(requests, population.names().collect(), written.clone()));
        Self { task, written }
    }

    /// How many there were so far.
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
        // What is late is left out, as a kubelet does that cannot reach its API server.
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
