//! Puts back the CNI plugin's nftables table after somebody's `nft flush ruleset`.
//!
//! The plugin does not run again until the next pod comes, and meanwhile host ports would lead nowhere and pods could send with others'
//! addresses. When the table is made again, and what it holds, is the plugin's own rule.

use std::path::Path;

use carrick_netlink::monitor::Monitor;
use carrick_pods::firewall::{Firewall, FirewallError, Restored};
use carrick_pods::ipam::Store;

use super::AgentError;

/// Starts the thread that watches, in the caller's network namespace.
///
/// # Errors
/// The kernel gives no socket or no thread.
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

/// What fails again as it did before is not said again.
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
