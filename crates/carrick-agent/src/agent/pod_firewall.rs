//! Repairs the CNI plugin's nftables table after another program flushed it (`nft flush ruleset`).
//!
//! The plugin does not run before the next pod starts. Until then, host ports would not work, and pods could send with forged source
//! addresses. [`carrick_pods::firewall`] defines the content of the table.

use std::path::Path;
use std::time::Duration;

use carrick_core::{Cause, DriftKind, Event, Fault, FaultSource};
use carrick_netlink::Error;
use carrick_netlink::monitor::Monitor;
use carrick_pods::firewall::{Firewall, FirewallError, Restored, table_name};
use carrick_pods::ipam::Store;
use tokio::sync::mpsc;

use super::AgentError;
use super::status::Status;

/// The time after which a comparison that failed is repeated.
const RETRY: Duration = Duration::from_millis(1_500);

/// Starts the thread that watches nftables, in the network namespace of the calling thread. It tells `events` what cannot be restored, and
/// `status` what another program had changed.
///
/// # Errors
/// A socket or the thread cannot be created.
pub(super) fn start(run_directory: &Path, status: Status, events: mpsc::Sender<Event>) -> Result<(), AgentError> {
    let mut monitor = Monitor::nftables()?;
    let mut firewall = Firewall::open()?;
    let store = Store::under(run_directory);
    let watch = move || {
        let mut trouble = None;
        // Before the first comparison, the table is as an earlier boot or version left it.
        let mut was_compared = false;
        loop {
            let result = firewall.reconcile(&store);
            if let Some(what) = drift(&result).filter(|_| was_compared) {
                status.repaired(Cause::Drift(DriftKind::Nftables), what);
            }
            was_compared |= result.is_ok();
            let failure = report(result, trouble.as_ref());
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

/// What another program had changed. Elements alone can also differ while the plugin adds or removes a pod.
fn drift(result: &Result<Restored, FirewallError>) -> Option<String> {
    match result {
        Ok(Restored::Structure) => Some(format!("change the nftables table {}", table_name())),
        Ok(Restored::Elements | Restored::Unchanged) | Err(_) => None,
    }
}

/// Logs the result of a comparison, and returns the error. An error that repeats is logged once.
fn report(result: Result<Restored, FirewallError>, trouble: Option<&String>) -> Option<String> {
    match result {
        Ok(Restored::Unchanged) => None,
        Ok(Restored::Elements | Restored::Structure) => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_that_the_plugin_changes_too_are_no_drift() {
        assert_eq!(drift(&Ok(Restored::Unchanged)), None);
        assert_eq!(drift(&Ok(Restored::Elements)), None);
        let what = drift(&Ok(Restored::Structure)).unwrap();
        assert!(what.ends_with("inet carrick-cni"), "{what}");
    }
}
