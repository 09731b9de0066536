//! Repairs the CNI plugin's nftables table after another program flushed it (`nft flush ruleset`).
//!
//! The plugin does not run before the next pod starts. Until then, host ports would not work, and pods could send with forged source
//! addresses. [`carrick_pods::firewall`] defines the content of the table.

use std::path::Path;

use carrick_netlink::monitor::Monitor;
use carrick_pods::firewall::{Firewall, FirewallError, Restored};
use carrick_pods::ipam::Store;

use super::AgentError;

/// Starts the thread that watches nftables, in the network namespace of the calling thread.
///
/// # Errors
/// A socket or the thread cannot be created.
pub(super) fn start(run_directory: &Path) -> Result<(), AgentError> {
    let mut monitor = Monitor::nftables()?;
    let mut firewall = Firewall::open()?;
    let store = Store::under(run_directory);
    let watch = move || {
        let mut trouble = None;
        loop {
            trouble = report(firewall.reconcile(&store), trouble);
            if let Err(error) = monitor.wait() {
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

/// Logs the result of a comparison. An error that repeats is logged once.
fn report(result: Result<Restored, FirewallError>, trouble: Option<String>) -> Option<String> {
    match result {
        Ok(Restored::Unchanged) => None,
        Ok(Restored::Repaired) => {
            tracing::info!(event = "pod_firewall_restored");
            None
        }
        Err(error) => {
            let error = error.to_string();
            if trouble.as_ref() != Some(&error) {
                tracing::warn!(event = "pod_firewall_not_restored", error);
            }
            Some(error)
        }
    }
}
