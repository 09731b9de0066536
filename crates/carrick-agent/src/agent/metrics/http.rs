//! What became of the connections to the agent's pages.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts of connections that the agent closed. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(in crate::agent) struct HttpMetrics {
    closed: Family<ClosedLabel, Counter>,
}

/// Where a connection came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum HttpListener {
    /// `--listen loopback`.
    Loopback,
    /// `--listen internal`.
    Internal,
    /// An address that `--listen` spells out.
    Address,
    /// The Unix socket.
    Socket,
}

/// Why the agent closed a connection before it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::agent) enum HttpClosed {
    /// Another connection needed the place.
    Full,
    /// The head of the request did not come in time.
    HeadTimeout,
    /// The client did not read the answer in time.
    ConnectionTimeout,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedLabel {
    listener: &'static str,
    reason: &'static str,
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Connections to the agent's pages that the agent closed before they were answered";
        registry.register("http_connections_closed", help, metrics.closed.clone());
        metrics
    }

    /// Counts a connection that the agent closed.
    pub(in crate::agent) fn closed(&self, listener: HttpListener, reason: HttpClosed) {
        let listener = match listener {
            HttpListener::Loopback => "loopback",
            HttpListener::Internal => "internal",
            HttpListener::Address => "address",
            HttpListener::Socket => "socket",
        };
        let reason = match reason {
            HttpClosed::Full => "full",
            HttpClosed::HeadTimeout => "head-timeout",
            HttpClosed::ConnectionTimeout => "connection-timeout",
        };
        self.closed.get_or_create(&ClosedLabel { listener, reason }).inc();
    }
}
