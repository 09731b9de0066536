//! Asks the agents again and again, as long as somebody looks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use carrick_status::unix_ms;
use serde::Serialize;
use tokio::sync::{Notify, watch};

use super::{DashboardData, Memory};
use crate::access::Access;

/// Agents are left alone when no page has asked for this long.
const ATTENTION: Duration = Duration::from_secs(10);

/// What the page is given.
#[derive(Clone, Debug, Serialize)]
struct Answer {
    /// Why the agents could not be asked, if they could not: what follows is then older.
    problem: Option<String>,
    #[serde(flatten)]
    data: DashboardData,
}

/// What the agents said last.
#[derive(Clone, Debug)]
pub(super) struct Latest {
    answer: watch::Receiver<Option<Arc<str>>>,
    attention: Arc<Attention>,
}

#[derive(Debug)]
struct Attention {
    asked_at: Mutex<Instant>,
    asked: Notify,
}

impl Latest {
    /// What the agents said last, as JSON; waits for the first time.
    pub(super) async fn json(&self) -> Arc<str> {
        *self.attention.asked_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.attention.asked.notify_one();
        let mut answer = self.answer.clone();
        let first = answer.wait_for(Option::is_some).await;
        first.ok().and_then(|answer| answer.clone()).unwrap_or_else(|| Arc::from("{}"))
    }
}

/// Begins to ask, with this rest between.
pub(super) fn start(access: Access, rest: Duration) -> Latest {
    let (publish, answer) = watch::channel(None);
    let attention = Arc::new(Attention { asked_at: Mutex::new(Instant::now()), asked: Notify::new() });
    let latest = Latest { answer, attention: Arc::clone(&attention) };
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
            tokio::time::sleep(rest).await;
            attention.wait().await;
        }
    });
    latest
}

impl Attention {
    /// Waits until somebody looks.
    async fn wait(&self) {
        while self.asked_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > ATTENTION {
            self.asked.notified().await;
        }
    }
}
