//! The latest events of the node, for the page `/status`.

use std::collections::VecDeque;
use std::time::SystemTime;

use carrick_status::{AgentEvent, AgentEventKind, unix_ms};

/// The number of events that are kept.
const KEPT: usize = 200;

/// The latest events, oldest first.
#[derive(Debug, Default)]
pub(super) struct RecentEvents(VecDeque<AgentEvent>);

impl RecentEvents {
    pub(super) fn add(&mut self, kind: AgentEventKind, text: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(AgentEvent { unix_ms: unix_ms(SystemTime::now()), kind, text });
    }

    pub(super) fn list(&self) -> Vec<AgentEvent> {
        self.0.iter().cloned().collect()
    }
}
