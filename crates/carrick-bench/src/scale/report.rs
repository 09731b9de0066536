//! The result of the benchmark.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::latency::Latency;
use super::parameters::Parameters;
use crate::process_usage::ProcessUsage;

/// The values of all counters at one moment.
pub(super) struct Counters {
    pub(super) at: Instant,
    pub(super) usage: ProcessUsage,
    pub(super) bytes_from_api: u64,
    pub(super) writes: Vec<String>,
    pub(super) heartbeats: u64,
}

/// What the benchmark observed in one cluster.
pub(super) struct Observations {
    pub(super) parameters: Parameters,
    pub(super) settle: Duration,
    pub(super) settled: ProcessUsage,
    pub(super) before: Counters,
    pub(super) after: Counters,
    pub(super) last: ProcessUsage,
    pub(super) endpoints: Latency,
    pub(super) new_nodes: Latency,
}

/// All measurements, as `--json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The number of processors of the machine. The API server, etcd and the kubelets' writes share them with the agent.
    pub processors: usize,
    /// One measurement for each size.
    pub measurements: Vec<Measurement>,
}

/// What one agent costs in a cluster of one size.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// The number of nodes of the cluster.
    pub nodes: usize,
    /// The number of locations of the cluster.
    pub locations: usize,
    /// The time from the agent's start until the kernel has routes to all pods, in seconds.
    pub settle_seconds: f64,
    /// The agent's processor time until then, in seconds.
    pub settle_cpu_seconds: f64,
    /// How long the steady cluster was measured, in seconds.
    pub steady_seconds: f64,
    /// Heartbeats of kubelets in the steady cluster, per minute.
    pub heartbeats_per_minute: f64,
    /// The agent's resident memory at the end of the steady time, in bytes.
    pub resident_bytes: u64,
    /// The anonymous part of it, in bytes.
    pub anonymous_bytes: u64,
    /// The agent's peak resident memory until then, in bytes.
    pub peak_bytes: u64,
    /// The agent's peak resident memory at the end of the changes, in bytes.
    pub peak_after_changes_bytes: u64,
    /// The agent's processor time in the steady cluster, in seconds per minute.
    pub cpu_seconds_per_minute: f64,
    /// The processor time of the agent's probes in the steady cluster, in percent of a processor.
    pub probing_percent: f64,
    /// Bytes that the agent received from the API server, TLS included, per minute.
    pub bytes_from_api_per_minute: f64,
    /// Writes of the agent to the API server in the steady cluster, per minute.
    pub writes_per_minute: f64,
    /// Those writes.
    pub writes: Vec<String>,
    /// All writes of the agent until the end of the steady time, the publication of its annotations included.
    pub writes_since_start: usize,
    /// From the write of another gateway's endpoint until the WireGuard device has it.
    pub changed_endpoint: Latency,
    /// From the creation of a node until the kernel and the WireGuard device have its pod CIDRs.
    pub new_node: Latency,
}

impl Observations {
    pub(super) fn measurement(self, locations: usize) -> Measurement {
        let Self { parameters, settle, settled, before, after, last, endpoints, new_nodes } = self;
        let steady = after.at - before.at;
        let per_minute = |amount: f64| amount * 60.0 / steady.as_secs_f64();
        let processor = after.usage.processor - before.usage.processor;
        let probing = after.usage.probing - before.usage.probing;
        let writes = after.writes[before.writes.len()..].to_vec();
        Measurement {
            nodes: parameters.nodes,
            locations,
            settle_seconds: settle.as_secs_f64(),
            settle_cpu_seconds: settled.processor.as_secs_f64(),
            steady_seconds: steady.as_secs_f64(),
            heartbeats_per_minute: per_minute((after.heartbeats - before.heartbeats) as f64),
            resident_bytes: after.usage.resident,
            anonymous_bytes: after.usage.anonymous,
            peak_bytes: after.usage.peak,
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
