//! What the core has others keep: the own annotations in the API, the cluster's state on the disk.

use std::sync::Arc;
use std::time::Duration;

use carrick_kube::annotations::Published;

use super::event::{ApiState, Effect, PublishOutcome};
use super::{Core, Knowledge, Now, PERSIST_INTERVAL, is_over, own};

impl Core {
    /// What the API should show of this node and does not, as far as that is known.
    pub(super) fn missing_publication(&self) -> Option<Published> {
        let heard = self.api == ApiState::Synced && self.knowledge == Knowledge::Api;
        let facts = self.facts.as_ref().filter(|_| heard && !self.publishing)?;
        let shown = self.cluster.nodes.get(&self.me)?;
        let wanted = own::published(&self.cluster, &self.me, self.key, facts, self.sighted.as_ref(), &self.settings);
        (!own::shows(shown, &wanted)).then_some(wanted)
    }

    pub(super) fn publish_if_needed(&mut self, now: Now) {
        if now < self.publish_backoff.not_before() {
            return;
        }
        if let Some(wanted) = self.missing_publication() {
            self.effects.push_back(Effect::Publish(Box::new(wanted)));
            self.publishing = true;
        }
    }

    pub(super) fn take_publish_outcome(&mut self, now: Now, outcome: PublishOutcome) {
        self.publishing = false;
        // After a success, too: the watch needs a moment to show what was written.
        self.publish_backoff.delay(now);
        if outcome == PublishOutcome::Complete {
            self.publish_backoff.settle(now, Duration::ZERO);
        }
    }

    pub(super) fn persist_if_due(&mut self, now: Now) {
        if !is_over(self.persist_due, now) {
            return;
        }
        self.persist_due = None;
        self.persisted_at = Some(now);
        self.effects.push_back(Effect::Persist(Arc::clone(&self.cluster)));
    }

    /// What is known in part only is not kept.
    pub(super) fn persist_soon(&mut self, now: Now) {
        if self.knowledge == Knowledge::Api {
            let earliest = self.persisted_at.map_or(now, |at| at + PERSIST_INTERVAL);
            self.persist_due.get_or_insert(earliest.max(now));
        }
    }
}
