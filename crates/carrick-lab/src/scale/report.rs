//! The result, for people and for programs.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::Trials;
use super::changes::Sample;
use crate::footprint::Footprint;
use crate::quantile::quantile;

/// All that is counted, at one moment.
pub(super) struct Gauge {
    pub(super) at: Instant,
    pub(super) footprint: Footprint,
    pub(super) bytes_from_api: u64,
    pub(super) writes: Vec<String>,
    pub(super) heartbeats: u64,
}

/// What was seen of one cluster.
pub(super) struct Observations {
    pub(super) trials: Trials,
    pub(super) settle: Duration,
    pub(super) settled: Footprint,
    pub(super) before: Gauge,
    pub(super) after: Gauge,
    pub(super) last: Footprint,
    pub(super) endpoints: Latency,
    pub(super) new_nodes: Latency,
}

/// All measurements, as `--json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How many processors the machine has; the API server, etcd and the kubelets' writes share them with the agent.
    pub processors: usize,
    /// One for each size.
    pub measurements: Vec<Measurement>,
}

/// What an agent costs in a cluster of one size.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Locations of the cluster.
    pub locations: usize,
    /// From the agent's start until the kernel routes all pods, in seconds.
    pub settle_seconds: f64,
    /// Processor time until then, in seconds.
    pub settle_cpu_seconds: f64,
    /// How long the steady cluster was watched, in seconds.
    pub steady_seconds: f64,
    /// Kubelets' writes of node status meanwhile, a minute.
    pub heartbeats_per_minute: f64,
    /// Resident memory of the agent at the end of it.
    pub resident_bytes: u64,
    /// The part of it that is no file's content.
    pub anonymous_bytes: u64,
    /// The most that was resident until then, the start included.
    pub peak_bytes: u64,
    /// The most that was resident until after the changes.
    pub peak_after_changes_bytes: u64,
    /// Processor time of the agent in the steady cluster, in seconds a minute.
    pub cpu_seconds_per_minute: f64,
    /// The part of it that went into probes, in percent of a processor.
    pub probing_percent: f64,
    /// What the agent received from the API server, TLS included, a minute.
    pub bytes_from_api_per_minute: f64,
    /// Writes of the agent to the API server, a minute.
    pub writes_per_minute: f64,
    /// These writes.
    pub writes: Vec<String>,
    /// All writes of the agent up to the end of the steady time, its own registration included.
    pub writes_since_start: usize,
    /// From a write of another gateway's endpoint to WireGuard's configuration.
    pub changed_endpoint: Latency,
    /// From the creation of a node to its routes and WireGuard's configuration.
    pub new_node: Latency,
}

/// How long changes took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// How many there were.
    pub count: usize,
    /// The median.
    pub p50_ms: f64,
    /// Nineteen of twenty took no longer.
    pub p95_ms: f64,
    /// The longest.
    pub most_ms: f64,
    /// The median of the part after which the API server had answered the write.
    pub api_write_p50_ms: f64,
}

impl Observations {
    pub(super) fn measurement(self, locations: usize) -> Measurement {
        let Self { trials, settle, settled, before, after, last, endpoints, new_nodes } = self;
        let steady = after.at - before.at;
        let per_minute = |amount: f64| amount * 60.0 / steady.as_secs_f64();
        let processor = after.footprint.processor - before.footprint.processor;
        let probing = after.footprint.probing - before.footprint.probing;
        let writes = after.writes[before.writes.len()..].to_vec();
        Measurement {
            nodes: trials.nodes,
            locations,
            settle_seconds: settle.as_secs_f64(),
            settle_cpu_seconds: settled.processor.as_secs_f64(),
            steady_seconds: steady.as_secs_f64(),
            heartbeats_per_minute: per_minute((after.heartbeats - before.heartbeats) as f64),
            resident_bytes: after.footprint.resident,
            anonymous_bytes: after.footprint.anonymous,
            peak_bytes: after.footprint.peak,
            peak_after_changes_bytes: last.peak,
            cpu_seconds_per_minute: per_minute(processor.as_secs_f64()),
            probing_percent: per_minute(probing.as_secs_f64()) / 60.0 * 100.0,
            bytes_from_api_per_minute: per_minute((after.bytes_from_api - before.bytes_from_api) as f64),
            writes_per_minute: per_minute(writes.len() as f64),
            writes_since_start: after.writes.len(),
            writes,
            changed_endpoint: endpoints,
            new_node: new_nodes,
        }
    }
}

impl Latency {
    pub(super) fn of(samples: &[Sample]) -> Self {
        let arrived: Vec<_> = samples.iter().map(|sample| sample.arrived).collect();
        let written: Vec<_> = samples.iter().map(|sample| sample.written).collect();
        Self {
            count: samples.len(),
            p50_ms: quantile_ms(&arrived, 0.5),
            p95_ms: quantile_ms(&arrived, 0.95),
            most_ms: quantile_ms(&arrived, 1.0),
            api_write_p50_ms: quantile_ms(&written, 0.5),
        }
    }
}

/// In milliseconds; 0 of no samples.
fn quantile_ms(samples: &[Duration], share: f64) -> f64 {
    let samples: Vec<f64> = samples.iter().map(|duration| duration.as_secs_f64() * 1000.0).collect();
    quantile(&samples, share).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples: Vec<_> = (1..=50).rev().map(Duration::from_millis).collect();
        assert_eq!([0.5, 0.95, 1.0].map(|share| quantile_ms(&samples, share)), [25.0, 48.0, 50.0]);
        assert_eq!(quantile_ms(&[], 0.5), 0.0);
    }
}
