//! Results of the CNI plugin's calls.

use carrick_pods::call_log::CallRecord;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Buckets for the duration of a call, in seconds: from netlink calls alone to a very busy machine.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 5.0];

/// Counts of calls.
#[derive(Debug)]
pub(super) struct PodMetrics {
    calls: Family<CallLabel, Counter>,
    seconds: Family<CommandLabel, Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabel {
    command: String,
    result: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabel {
    command: String,
}

impl PodMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics =
            Self { calls: Family::default(), seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)) };
        let help = "Calls of the CNI plugin; the result is success or the error's code";
        registry.register("cni_calls", help, metrics.calls.clone());
        let help = "Time that calls of the CNI plugin took";
        registry.register_with_unit("cni_duration", help, Unit::Seconds, metrics.seconds.clone());
        metrics
    }

    pub(super) fn called(&self, record: &CallRecord) {
        let command = record.command.clone();
        self.seconds.get_or_create(&CommandLabel { command: command.clone() }).observe(record.took.as_secs_f64());
        let result = if record.code == 0 { "success".to_owned() } else { record.code.to_string() };
        self.calls.get_or_create(&CallLabel { command, result }).inc();
    }
}
