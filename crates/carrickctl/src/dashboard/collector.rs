//! Asks the agents repeatedly, as long as a page is open.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use carrick_status::unix_ms;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::{DashboardData, Memory};
use crate::access::Access;

/// The time after the last request of a page after which the collector pauses.
const IDLE_AFTER: Duration = Duration::from_secs(10);

/// The answer to a page.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    /// Why the agents could not be asked; absent if they could. If present, the data is old.
    problem: Option<String>,
    #[serde(flatten)]
    data: DashboardData,
}

/// The latest answer.
#[derive(Clone, Debug)]
pub(super) struct Latest {
    answer: watch::Receiver<Option<Arc<str>>>,
    demand: Arc<Demand>,
}

#[derive(Debug)]
struct Demand {
    asked_at: Mutex<Instant>,
    asked: Notify,
}

impl Latest {
    /// The latest answer as JSON. Waits for the first one.
    pub(super) async fn json(&self) -> Arc<str> {
        *self.demand.asked_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.demand.asked.notify_one();
        let mut answer = self.answer.clone();
        let first = answer.wait_for(Option::is_some).await;
        first.ok().and_then(|answer| answer.clone()).unwrap_or_else(|| Arc::from("{}"))
    }
}

/// Starts to ask the agents, with a pause between two rounds.
pub(super) fn start(access: Access, pause: Duration) -> Latest {
    let (publish, answer) = watch::channel(None);
    let demand = Arc::new(Demand { asked_at: Mutex::new(Instant::now()), asked: Notify::new() });
    let latest = Latest { answer, demand: Arc::clone(&demand) };
    tokio::spawn(async move {
        let (mut data, mut memory) = (DashboardData::default(), Memory::default());
        loop {
            let problem = match access.snapshot().await {
                Ok(mut snapshot) => {
                    memory.learn(&mut snapshot);
                    data = DashboardData::of(&snapshot, &memory, unix_ms(SystemTime::now()));
                    None
                }
                Err(failure) => Some(failure.to_string()),
            };
            let text = serde_json::to_string(&Answer { problem, data: data.clone() }).unwrap_or_default();
            if publish.send(Some(Arc::from(text))).is_err() {
                return;
            }
            tokio::time::sleep(pause).await;
            demand.wait().await;
        }
    });
    latest
}

impl Demand {
    /// Waits until a page has asked recently.
    async fn wait(&self) {
        while self.asked_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > IDLE_AFTER {
            self.asked.notified().await;
        }
    }
}
