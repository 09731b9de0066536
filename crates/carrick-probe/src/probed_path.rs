//! What is known of the path to another node.

use std::net::IpAddr;
use std::time::Duration;

use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};
use serde::{Deserialize, Serialize};

/// Upper bounds of the round-trip histogram's buckets, in seconds; a last bucket holds what is slower.
pub const ROUND_TRIP_BOUNDS: [f64; 14] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1.0];

/// The state of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathState {
    /// Too few probes were sent to tell.
    Unknown,
    /// The agent of the other end answers.
    Up,
    /// The kernel of the other end answers, and its agent does not run.
    AgentAway,
    /// The other end does not answer.
    Down,
}

/// The path from this node to another one, in the direction in which this node sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbedPath {
    /// The node at the other end.
    pub to: NodeName,
    /// The location of that node.
    pub location: LocationName,
    /// Whether it is a tunnel or inside the location.
    pub kind: PathKind,
    /// The address that is probed.
    pub address: IpAddr,
    /// Its state.
    pub state: PathState,
    /// Number of plain probes sent since the first one.
    pub sent: u64,
    /// Number of plain probes answered since the first one.
    pub answered: u64,
    /// The share of recent probes without an answer, from 0 to 1, counted from the first answered probe; absent until then.
    pub loss: Option<f64>,
    /// Round trips of recent probes; absent if none was answered.
    pub round_trip: Option<RoundTrip>,
    /// All round trips since the first probe, by length.
    pub histogram: RoundTripCounts,
    /// The largest IP packet that passes, in bytes; absent until that is found.
    pub mtu: Option<u32>,
}

/// Round trips of recent probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundTrip {
    /// The shortest one, in microseconds.
    pub min_us: u64,
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
    /// The latest one, in microseconds.
    pub last_us: u64,
    /// The mean difference between a round trip and the one before it, smoothed as in RFC 3550 §6.4.1, in microseconds.
    pub jitter_us: u64,
}

/// A histogram of round trips. Bucket `i` holds those up to `ROUND_TRIP_BOUNDS[i]`, the last one those above all bounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoundTripCounts {
    /// The number of round trips in each bucket.
    pub counts: [u64; ROUND_TRIP_BOUNDS.len() + 1],
    /// Their sum, in seconds.
    pub sum_seconds: f64,
}

impl RoundTripCounts {
    /// Counts one round trip.
    pub fn observe(&mut self, round_trip: Duration) {
        let seconds = round_trip.as_secs_f64();
        let bucket = ROUND_TRIP_BOUNDS.partition_point(|bound| *bound < seconds);
        self.counts[bucket] += 1;
        self.sum_seconds += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_counts_in_the_bucket_of_its_length() {
        let mut counts = RoundTripCounts::default();
        counts.observe(Duration::from_micros(250));
        counts.observe(Duration::from_micros(251));
        counts.observe(Duration::from_secs(2));
        assert_eq!((counts.counts[0], counts.counts[1], counts.counts[14]), (1, 1, 1));
        assert!((counts.sum_seconds - 2.000_501).abs() < 1e-9);
    }
}
