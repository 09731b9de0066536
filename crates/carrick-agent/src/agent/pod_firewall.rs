//! Repairs the CNI plugin's nftables table after another program flushed it (`nft flush ruleset`).
//!
//! The plugin does not run before the next pod starts. Until then, host ports would not work, and pods could send with forged source
//! addresses. [`carrick_pods::firewall`] defines the content of the table.

use std::path::Path;
use std::time::Duration;

use carrick_core::{Event, Fault, FaultSource};
use carrick_netlink::Error;
use carrick_netlink::monitor::Monitor;
use carrick_pods::firewall::{Firewall, FirewallError, Restored};
use carrick_pods::ipam::Store;
use tokio::sync::mpsc;

use super::AgentError;

/// The time after which a comparison that failed is repeated.
const RETRY: Duration = Duration::from_millis(1_500);

/// Starts the thread that watches nftables, in the network namespace of the calling thread. It tells `events` what cannot be restored.
///
/// # Errors
/// A socket or the thread cannot be created.
pub(super) fn start(run_directory: &Path, events: mpsc::Sender<Event>) -> Result<(), AgentError> {
    let mut monitor = Monitor::nftables()?;
    let mut firewall = Firewall::open()?;
    let store = Store::under(run_directory);
    let watch = move || {
        let mut trouble = None;
        loop {
            let failure = report(firewall.reconcile(&store), trouble.as_ref());
            if failure != trouble {
                let fault = failure.clone().map(Fault::PodFirewallNotRestored);
                if events.blocking_send(Event::Faults(FaultSource::PodFirewall, fault.into_iter().collect())).is_err() {
                    return;
                }
            }
            trouble = failure;
            let awaited = if trouble.is_some() { wait_to_retry(&mut monitor) } else { monitor.wait().map(drop) };
            if let Err(error) = awaited {
                tracing::error!(event = "monitor_failed", %error);
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("pod-firewall".to_owned())
        .spawn(watch)
        .map(drop)
        .map_err(|error| AgentError::Start(format!("a thread: {error}")))
}

/// Waits for some time. The next comparison sees what notifications have told until then.
fn wait_to_retry(monitor: &mut Monitor) -> Result<(), Error> {
    std::thread::sleep(RETRY);
    while monitor.try_receive()?.is_some() {}
    Ok(())
}

/// Logs the result of a comparison, and returns the error. An error that repeats is logged once.
fn report(result: Result<Restored, FirewallError>, trouble: Option<&String>) -> Option<String> {
    match result {
        Ok(Restored::Unchanged) => None,
        Ok(Restored::Repaired) => {
            tracing::info!(event = "pod_firewall_restored");
            None
        }
        Err(error) => {
            let error = error.to_string();
            if trouble != Some(&error) {
                tracing::warn!(event = "pod_firewall_not_restored", error);
            }
            Some(error)
        }
    }
}
