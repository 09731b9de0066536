//! Packets at the probe port that change nothing and get no answer.

use carrick_probe::Refusal;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts of refused packets. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(in crate::agent) struct ProbeMetrics {
    refused: Family<ReasonLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl ProbeMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Packets at the probe port that changed nothing and got no answer, by reason";
        registry.register("probe_packets_refused", help, metrics.refused.clone());
        metrics
    }

    /// Counts a refused packet.
    pub(in crate::agent) fn refused(&self, reason: Refusal) {
        self.refused.get_or_create(&ReasonLabel { reason: word(reason) }).inc();
    }
}

const fn word(reason: Refusal) -> &'static str {
    match reason {
        Refusal::NotAPacket => "not-a-packet",
        Refusal::UnknownAddress => "unknown-address",
        Refusal::OldVersion => "old-version",
        Refusal::WrongCode => "wrong-code",
        Refusal::NotAwaited => "not-awaited",
        Refusal::Repeated => "repeated",
        Refusal::TooMany => "too-many",
    }
}
