//! Reports warnings: a log line at once, and a limited number of Kubernetes Events, each from one node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use carrick_kube::client::ApiClient;
use carrick_kube::own_node::OwnNode;
use carrick_kube::publish::{EventLimiter, is_reporter, publish_event};
use carrick_topology::Warning;
use carrick_topology::{Cluster, NodeName};
use tokio::sync::watch;

/// What this node writes as Events, and the Node that it writes them for.
#[derive(Clone, Debug, Default)]
struct Report {
    own_node: Option<OwnNode>,
    warnings: BTreeSet<Warning>,
}

/// The warnings in force.
#[derive(Debug)]
pub(super) struct Warnings {
    in_force: Arc<BTreeSet<Warning>>,
    report: watch::Sender<Report>,
}

impl Warnings {
    /// Starts the task that writes Events. The task ends when the value is dropped.
    pub(super) fn start(client: ApiClient) -> Self {
        let (report, reports) = watch::channel(Report::default());
        tokio::spawn(tell(client, reports));
        Self { in_force: Arc::default(), report }
    }

    /// Sets the own Node, which the Events name as their reporter.
    pub(super) fn take_own_node(&self, own_node: &OwnNode) {
        self.report.send_modify(|report| report.own_node = Some(own_node.clone()));
    }

    /// Logs which warnings are new and which are over, and passes on the warnings that this node reports as Events. Returns both as text.
    pub(super) fn update(&mut self, warnings: Arc<BTreeSet<Warning>>, cluster: &Cluster, me: &NodeName) -> Vec<String> {
        let mut told = Vec::new();
        for warning in warnings.difference(&self.in_force) {
            tracing::warn!(event = "warning_raised", kind = warning.reason.kind(), "{warning}");
            told.push(warning.to_string());
        }
        for warning in self.in_force.difference(&warnings) {
            tracing::info!(event = "warning_cleared", kind = warning.reason.kind(), "{warning}");
            told.push(format!("no longer: {warning}"));
        }
        let own: BTreeSet<Warning> =
            warnings.iter().filter(|warning| is_reporter(cluster, me, warning)).cloned().collect();
        self.report.send_modify(|report| report.warnings = own);
        self.in_force = warnings;
        told
    }
}

async fn tell(client: ApiClient, mut reports: watch::Receiver<Report>) {
    let mut limiter = EventLimiter::new(Instant::now());
    loop {
        let report = reports.borrow_and_update().clone();
        if let Some(own_node) = &report.own_node {
            for warning in limiter.admit(&report.warnings, Instant::now()) {
                if let Err(error) = publish_event(&client, own_node, &warning, jiff::Timestamp::now()).await {
                    tracing::debug!(event = "event_not_written", %error);
                    limiter.take_back(&warning);
                }
            }
        }
        let again = limiter.next_deadline(&report.warnings).filter(|_| report.own_node.is_some());
        let pause = async {
            match again {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            () = pause => {}
        }
    }
}
