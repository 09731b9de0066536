//! The status of the outside peers that this node serves, as the API is to show it.

use std::collections::BTreeMap;
use std::time::Duration;

use carrick_backoff::{Backoff, Now};
use carrick_topology::PeerName;

use crate::delivery::Delivery;
use crate::event::WriteOutcome;
use crate::peers::PeerConnection;

const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Writes each status when the peer connects or disconnects, and again until the API has it. A Peer whose status cannot be written
/// delays no other.
#[derive(Debug, Default)]
pub(crate) struct PeerStatuses(BTreeMap<PeerName, Delivery<PeerConnection>>);

impl PeerStatuses {
    /// Takes over which peers this node serves now. Of the others, another node may write the status.
    pub(crate) fn update(&mut self, served: &BTreeMap<PeerName, PeerConnection>) {
        for (name, delivery) in &mut self.0 {
            if !served.contains_key(name) {
                delivery.forget();
            }
        }
        self.0.retain(|_, delivery| !delivery.is_idle());
        for (name, connection) in served {
            let new = || Delivery::new(Backoff::new(SHORTEST_RETRY, LONGEST_RETRY));
            self.0.entry(name.clone()).or_insert_with(new).want(*connection);
        }
    }

    /// When the next status may be written.
    pub(crate) fn due(&self) -> Option<Now> {
        self.0.values().filter_map(Delivery::due).min()
    }

    /// The statuses to write now.
    pub(crate) fn begin(&mut self, now: Now) -> Vec<(PeerName, PeerConnection)> {
        let due = self.0.iter_mut().filter_map(|(name, delivery)| Some((name.clone(), delivery.begin(now)?)));
        due.collect()
    }

    /// The write of one peer's status has ended.
    pub(crate) fn finish(&mut self, now: Now, peer: &PeerName, outcome: WriteOutcome, chance: f64) {
        if let Some(delivery) = self.0.get_mut(peer) {
            delivery.finish(now, outcome, chance);
            if delivery.is_idle() {
                self.0.remove(peer);
            }
        }
    }
}
