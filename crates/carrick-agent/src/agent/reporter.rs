//! Reports warnings and faults: a log line at once, and a limited number of Kubernetes Events, each from one node.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use carrick_core::Fault;
use carrick_kube::client::ApiClient;
use carrick_kube::own_node::OwnNode;
use carrick_kube::publish::{EventLimiter, PublishError, is_picked, is_reporter, publish_event, publish_fault};
use carrick_status::FaultKind;
use carrick_topology::Warning;
use carrick_topology::plan::MeshDevices;
use carrick_topology::{Cluster, NodeName};
use tokio::sync::watch;

/// What becomes an Event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Warning(Warning),
    Fault { kind: FaultKind, note: String },
}

/// What this node writes as Events, and the Node that it writes them for.
#[derive(Clone, Debug, Default)]
struct Report {
    own_node: Option<OwnNode>,
    items: BTreeSet<Item>,
}

/// The warnings and the lasting faults in force.
#[derive(Debug)]
pub(super) struct Reporter {
    warnings: Arc<BTreeSet<Warning>>,
    faults: BTreeSet<Fault>,
    /// The mesh's devices on this node, which remedies name.
    devices: MeshDevices,
    report: watch::Sender<Report>,
}

impl Reporter {
    /// Starts the task that writes Events. The task ends when the value is dropped.
    pub(super) fn start(client: ApiClient) -> Self {
        let (report, reports) = watch::channel(Report::default());
        tokio::spawn(tell(client, reports));
        Self { warnings: Arc::default(), faults: BTreeSet::new(), devices: MeshDevices::default(), report }
    }

    /// Sets the own Node, which the Events name as their reporter.
    pub(super) fn take_own_node(&self, own_node: &OwnNode) {
        self.report.send_modify(|report| report.own_node = Some(own_node.clone()));
    }

    /// Logs which warnings are new and which are over, and passes on the warnings that this node reports as Events. Returns both as text.
    pub(super) fn update(&mut self, warnings: Arc<BTreeSet<Warning>>, cluster: &Cluster, me: &NodeName) -> Vec<String> {
        let mut told = Vec::new();
        for warning in warnings.difference(&self.warnings) {
            tracing::warn!(event = "warning_raised", kind = warning.reason.kind(), "{warning}");
            told.push(warning.to_string());
        }
        for warning in self.warnings.difference(&warnings) {
            tracing::info!(event = "warning_cleared", kind = warning.reason.kind(), "{warning}");
            told.push(format!("no longer: {warning}"));
        }
        self.warnings = warnings;
        self.pass_on(cluster, me);
        told
    }

    /// The same for faults that last.
    pub(super) fn update_faults(
        &mut self,
        faults: BTreeSet<Fault>,
        devices: &MeshDevices,
        cluster: &Cluster,
        me: &NodeName,
    ) -> Vec<String> {
        let mut told = Vec::new();
        for fault in faults.difference(&self.faults) {
            let remedy = fault.remedy(devices);
            tracing::warn!(event = "fault_raised", kind = fault.kind().as_str(), remedy, "{fault}");
            told.push(fault.to_string());
        }
        for fault in self.faults.difference(&faults) {
            tracing::info!(event = "fault_cleared", kind = fault.kind().as_str(), "{fault}");
            told.push(format!("no longer: {fault}"));
        }
        self.faults = faults;
        self.devices = devices.clone();
        self.pass_on(cluster, me);
        told
    }

    fn pass_on(&self, cluster: &Cluster, me: &NodeName) {
        let warnings = self.warnings.iter().filter(|warning| is_reporter(cluster, me, warning));
        let is_own = |fault: &&Fault| !fault.is_of_cluster() || is_picked(cluster, me, fault.kind().as_str());
        let faults = self.faults.iter().filter(is_own);
        let item = |fault: &Fault| Item::Fault { kind: fault.kind(), note: fault_note(fault, &self.devices) };
        let items = warnings.cloned().map(Item::Warning).chain(faults.map(item)).collect();
        self.report.send_modify(|report| report.items = items);
    }
}

/// A fault and its remedy, as `/readyz` has them.
pub(super) fn fault_note(fault: &Fault, devices: &MeshDevices) -> String {
    format!("{fault} -> {}", fault.remedy(devices))
}

async fn tell(client: ApiClient, mut reports: watch::Receiver<Report>) {
    let mut limiter = EventLimiter::new(Instant::now());
    loop {
        let report = reports.borrow_and_update().clone();
        if let Some(own_node) = &report.own_node {
            for item in limiter.admit(&report.items, Instant::now()) {
                if let Err(error) = publish(&client, own_node, &item).await {
                    tracing::debug!(event = "event_not_written", %error);
                    limiter.take_back(&item);
                }
            }
        }
        let again = limiter.next_deadline(&report.items).filter(|_| report.own_node.is_some());
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

async fn publish(client: &ApiClient, own_node: &OwnNode, item: &Item) -> Result<(), PublishError> {
    let now = jiff::Timestamp::now();
    match item {
        Item::Warning(warning) => publish_event(client, own_node, warning, now).await,
        Item::Fault { kind, note } => publish_fault(client, own_node, kind.as_str(), note.clone(), now).await,
    }
}
