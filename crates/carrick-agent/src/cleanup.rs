//! `carrick cleanup`: removes from the kernel, and with `--files` from the disk, all that is Carrick's, and nothing else.
//!
//! The userspace data path is stopped first, or it would make its deleted interface again.

mod files;

use std::fs::File;

use carrick_dataplane::firewall::Firewall;
use carrick_netlink::{Protocol, Socket};
use carrick_topology::DeviceName;
use carrick_topology::plan::MeshDevices;
use nix::fcntl::Flock;

use crate::cli::CleanupOptions;
use crate::exit::Exit;
use crate::state::wait_for_agent;
use crate::userspace_wireguard;

/// The result of the cleanup.
#[derive(Debug, Default)]
pub struct Cleanup {
    /// The removed objects, as text.
    pub removed: Vec<String>,
    /// The failures, as text.
    pub failures: Vec<String>,
    /// The pods that are still attached. The plugin stays, to detach them.
    pub pods: Vec<String>,
    is_not_permitted: bool,
}

/// Removes what there is; what fails does not stop the rest. What is not there is no failure.
pub async fn run(options: &CleanupOptions) -> Cleanup {
    let mut cleanup = Cleanup::default();
    // An agent would make again what is removed. It cannot start as long as this lives.
    let _no_agent = if options.files { cleanup.wait_for_agent(options) } else { None };
    cleanup.stop_userspace(&options.interface).await;
    cleanup.remove_firewall();
    cleanup.remove_routing(options);
    if options.files {
        cleanup.remove_files(options);
    }
    cleanup
}

impl Cleanup {
    /// The exit status of the process.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match (self.failures.is_empty(), self.is_not_permitted) {
            (true, _) => Exit::Success,
            (false, true) => Exit::Permission,
            (false, false) => Exit::Failure,
        }
    }

    fn wait_for_agent(&mut self, options: &CleanupOptions) -> Option<Flock<File>> {
        wait_for_agent(&options.state_dir).unwrap_or_else(|error| {
            self.failures.push(error.to_string());
            None
        })
    }

    async fn stop_userspace(&mut self, interface: &DeviceName) {
        let was_running = userspace_wireguard::uapi::is_answering(interface);
        match userspace_wireguard::stop(interface).await {
            Ok(()) if was_running => self.removed.push(format!("process of userspace device {interface}")),
            Ok(()) => {}
            Err(error) => self.failures.push(error.to_string()),
        }
    }

    fn remove_firewall(&mut self) {
        match Firewall::open().and_then(|mut firewall| firewall.cleanup()) {
            Ok(applied) => {
                if applied.is_change() {
                    self.removed.push("nftables table inet carrick and its rules in chains of others".to_owned());
                }
                self.failures.extend(applied.refused.iter().map(ToString::to_string));
            }
            Err(error) => self.fail(&error),
        }
    }

    fn remove_routing(&mut self, options: &CleanupOptions) {
        let devices = MeshDevices::with_wireguard(options.interface.clone());
        match Socket::open(Protocol::Route) {
            Ok(mut socket) => {
                let cleaned = carrick_dataplane::cleanup(&mut socket, devices.all(), &options.run_dir);
                self.removed.extend(cleaned.removed);
                for failure in cleaned.failures {
                    match failure {
                        carrick_dataplane::cleanup::CleanupFailure::Netlink(error) => self.fail(&error),
                        failure @ carrick_dataplane::cleanup::CleanupFailure::File(_) => {
                            self.failures.push(failure.to_string());
                        }
                    }
                }
            }
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &carrick_netlink::Error) {
        self.is_not_permitted |= error.is_not_permitted();
        self.failures.push(error.to_string());
    }
}
