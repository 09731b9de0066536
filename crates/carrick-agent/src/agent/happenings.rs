//! What happened last on the node, for people who look at it now.

use std::collections::VecDeque;
use std::time::SystemTime;

use carrick_status::{Happening, HappeningKind, unix_ms};

/// So many are kept.
const KEPT: usize = 200;

/// The last happenings, oldest first.
#[derive(Debug, Default)]
pub(super) struct Happenings(VecDeque<Happening>);

impl Happenings {
    pub(super) fn add(&mut self, kind: HappeningKind, text: String) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Happening { unix_ms: unix_ms(SystemTime::now()), kind, text });
    }

    pub(super) fn list(&self) -> Vec<Happening> {
        self.0.iter().cloned().collect()
    }
}
