//! The state of the connection to the API server, for readiness and metrics.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::event::ApiState;

/// Shared between the watch, which writes it, and everybody else.
#[derive(Debug)]
pub struct ApiStatus(Mutex<ApiSnapshot>);

/// The state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSnapshot {
    /// The state.
    pub state: ApiState,
    /// The time at which the API server last sent anything: a change, a heartbeat of another node, a bookmark.
    pub last_heard: Option<Instant>,
    /// The number of watches that failed and were restarted.
    pub restarts: u64,
}

impl Default for ApiStatus {
    fn default() -> Self {
        Self(Mutex::new(ApiSnapshot { state: ApiState::Syncing, last_heard: None, restarts: 0 }))
    }
}

impl ApiStatus {
    /// The present state.
    #[must_use]
    pub fn snapshot(&self) -> ApiSnapshot {
        self.lock().clone()
    }

    /// Something came from the API server.
    pub fn heard(&self, now: Instant) {
        self.lock().last_heard = Some(now);
    }

    pub(super) fn failed(&self) {
        self.lock().restarts += 1;
    }

    /// Whether this is another state than before.
    pub(super) fn set(&self, state: &ApiState) -> bool {
        let mut snapshot = self.lock();
        let differs = snapshot.state != *state;
        if differs {
            snapshot.state = state.clone();
        }
        differs
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ApiSnapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
