//! Packets that the node's firewall dropped, read when a page is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use carrick_dataplane::firewall::{DropCounters, DropReason};
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// Reads how many packets the firewall has dropped, by reason.
#[derive(Clone)]
pub(in crate::agent) struct DropReader(Arc<dyn Fn() -> BTreeMap<DropReason, u64> + Send + Sync>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl DropReader {
    pub(in crate::agent) fn new(read: impl Fn() -> BTreeMap<DropReason, u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// Reads the counters of the kernel; none while the kernel does not answer.
    pub(in crate::agent) fn of_kernel(counters: DropCounters) -> Self {
        let counters = Mutex::new(counters);
        Self::new(move || counters.lock().unwrap_or_else(PoisonError::into_inner).read().unwrap_or_default())
    }

    pub(super) fn dropped(&self) -> BTreeMap<DropReason, u64> {
        (self.0)()
    }
}

impl fmt::Debug for DropReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DropReader")
    }
}

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, dropped: &BTreeMap<DropReason, u64>) -> fmt::Result {
    let help = "Packets that the node's firewall dropped, by reason";
    let mut family = encoder.encode_descriptor("dropped_packets", help, None, MetricType::Counter)?;
    for (reason, packets) in dropped {
        let labels = ReasonLabel { reason: reason.as_str() };
        family.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(packets, None)?;
    }
    Ok(())
}
