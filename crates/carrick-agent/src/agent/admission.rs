//! Looks whether the admission policies are in force.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use carrick_backoff::Backoff;
use carrick_core::{Event, Fault, FaultSource};
use carrick_kube::admission::policy_faults;
use carrick_kube::client::ApiClient;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::status::Status;

/// The time between two looks while the policies are not in force.
const AGAIN: Duration = Duration::from_secs(600);
/// The delays between looks while the API server does not answer.
const SHORTEST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Looks until the policies are in force, and reports what is wrong. From then on it asks nothing.
pub(super) async fn look(client: ApiClient, status: Status, events: mpsc::Sender<Event>) {
    let origin = Instant::now();
    let mut backoff = Backoff::new(SHORTEST_RETRY, LONGEST_RETRY);
    let mut before = BTreeSet::new();
    loop {
        match policy_faults(&client).await {
            Ok(faults) => {
                backoff.reset();
                if faults != before {
                    report(&faults);
                }
                status.take_policy_faults(faults.clone());
                let missing = faults.iter().cloned().map(Fault::PolicyMissing).collect();
                if events.send(Event::Faults(FaultSource::AdmissionPolicies, missing)).await.is_err() {
                    return;
                }
                if faults.is_empty() {
                    return;
                }
                before = faults;
                sleep(AGAIN).await;
            }
            Err(error) => {
                tracing::debug!(event = "admission_policy_unknown", %error);
                sleep(backoff.delay(origin.elapsed(), rand::random())).await;
            }
        }
    }
}

fn report(faults: &BTreeSet<String>) {
    if faults.is_empty() {
        tracing::info!(event = "admission_policy_in_force");
    } else {
        let faults: Vec<_> = faults.iter().map(String::as_str).collect();
        tracing::warn!(
            event = "admission_policy_missing",
            faults = faults.join("; "),
            "other nodes' annotations can be forged: apply deploy/policy.yaml"
        );
    }
}
