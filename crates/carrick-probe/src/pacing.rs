//! How often a node probes: what limits the probes that it sends, and the probes that a gateway gets.

use std::time::Duration;

use carrick_topology::plan::PathKind;

use crate::Now;

/// The least time between two probes that a node sends: 50 a second.
const LEAST_GAP: Duration = Duration::from_millis(20);
/// The least interval of probes inside a location, for each node of it: a gateway then answers 250 of them a second at most.
const GAP_PER_NODE: Duration = Duration::from_millis(4);

/// The intervals between probes, and when the next one may go.
#[derive(Debug)]
pub(crate) struct Pacing {
    /// The interval that the node is told.
    interval: Duration,
    targets: usize,
    location_size: usize,
    not_before: Now,
}

impl Pacing {
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, targets: 0, location_size: 0, not_before: Now::ZERO }
    }

    pub(crate) const fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// The node has this many targets, and its location this many nodes.
    pub(crate) const fn set_sizes(&mut self, targets: usize, location_size: usize) {
        self.targets = targets;
        self.location_size = location_size;
    }

    /// Whether the location has other nodes.
    pub(crate) const fn has_neighbours(&self) -> bool {
        self.location_size > 1
    }

    /// The interval that the node is told, whatever the sizes are.
    pub(crate) const fn told_interval(&self) -> Duration {
        self.interval
    }

    /// The least interval at which the node can probe all its targets.
    pub(crate) fn interval_of_all(&self) -> Duration {
        self.interval.max(LEAST_GAP * u32::try_from(self.targets).unwrap_or(u32::MAX))
    }

    /// The least interval at which all nodes of a location can probe its gateways.
    pub(crate) fn interval_inside(&self) -> Duration {
        self.interval.max(GAP_PER_NODE * u32::try_from(self.location_size).unwrap_or(u32::MAX))
    }

    /// The interval of the probes by paths of this kind.
    pub(crate) fn interval_of(&self, kind: PathKind) -> Duration {
        match kind {
            PathKind::Tunnel => self.interval_of_all(),
            PathKind::Inside => self.interval_of_all().max(self.interval_inside()),
        }
    }

    /// A probe to a node that is due within this time goes together with the answer to a probe of this node. Half of the interval: of two
    /// nodes that probe each other, one always is that early, and keeps the other one's rhythm from then on.
    pub(crate) fn joins_within(&self) -> Duration {
        self.interval / 2
    }

    /// When the first probe to the target at this position of a plan is due: spread over time as later ones are.
    pub(crate) fn first_probe(now: Now, position: u32) -> Now {
        now + LEAST_GAP * position
    }

    /// The earliest time of the next probe.
    pub(crate) const fn not_before(&self) -> Now {
        self.not_before
    }

    /// A probe is sent.
    pub(crate) fn note_sent(&mut self, now: Now) {
        self.not_before = now + LEAST_GAP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_targets_and_large_locations_make_the_intervals_longer() {
        let ms = Duration::from_millis;
        let mut pacing = Pacing::new(ms(250));
        let intervals = |pacing: &Pacing| [PathKind::Tunnel, PathKind::Inside].map(|kind| pacing.interval_of(kind));
        pacing.set_sizes(12, 62);
        assert_eq!(intervals(&pacing), [ms(250); 2]);
        pacing.set_sizes(100, 100);
        assert_eq!(intervals(&pacing), [ms(2000); 2], "50 probes a second");
        pacing.set_sizes(12, 1000);
        assert_eq!(intervals(&pacing), [ms(250), ms(4000)], "250 probes a second to a gateway from 1000 nodes");
    }
}
