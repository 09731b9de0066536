//! The files of Carrick on a node, and the firewall of the CNI plugin.

use std::fs;
use std::io;
use std::path::Path;

use carrick_pods::firewall::Firewall;
use carrick_pods::installation::{remove_binary, remove_configuration};
use carrick_pods::ipam::Store;

use super::Cleanup;
use crate::cli::CleanupOptions;
use crate::file_error::failed;

impl Cleanup {
    /// Removes the CNI configuration first, so that no pod is attached meanwhile. While there are attached pods, the plugin, its firewall and
    /// its records stay: only the plugin can detach them.
    pub(super) fn remove_files(&mut self, options: &CleanupOptions) {
        let configuration = remove_configuration(&options.cni_conf_dir).map_err(|error| error.to_string());
        self.note("CNI configuration", configuration);
        match pods(&options.run_dir) {
            Ok(pods) if pods.is_empty() => self.remove_plugin(options),
            Ok(pods) => self.pods = pods,
            Err(error) => self.failures.push(error),
        }
        if options.state {
            self.empty("state", &options.state_dir);
        }
    }

    fn remove_plugin(&mut self, options: &CleanupOptions) {
        self.note("CNI plugin", remove_binary(&options.cni_bin_dir).map_err(|error| error.to_string()));
        match Firewall::open().and_then(|mut firewall| firewall.remove()) {
            Ok(true) => self.removed.push("nftables table inet carrick-cni".to_owned()),
            Ok(false) => {}
            Err(error) => self.fail(&error),
        }
        self.empty("runtime files", &options.run_dir);
    }

    fn note(&mut self, what: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.removed.push(what.to_owned()),
            Err(error) => self.failures.push(error),
        }
    }

    /// Removes the content of a directory. The directory itself may be a mount of the container.
    fn empty(&mut self, what: &str, directory: &Path) {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.failures.push(failed("read", directory)(error).to_string()),
            Ok(entries) => entries,
        };
        for entry in entries {
            let removed = entry.and_then(|entry| {
                let path = entry.path();
                if entry.file_type()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
            });
            if let Err(error) = removed {
                self.failures.push(failed("empty", directory)(error).to_string());
            }
        }
        self.removed.push(format!("{what} in {}", directory.display()));
        // It fails for a mount, which then stays, without content.
        let _ = fs::remove_dir(directory);
    }
}

/// The pods that the plugin attached, by their names. A record that cannot be read is a pod too.
fn pods(run_directory: &Path) -> Result<Vec<String>, String> {
    let records = Store::under(run_directory).records().map_err(|error| error.to_string())?;
    let unreadable = records.unreadable.iter().map(ToString::to_string);
    Ok(records.readable.iter().map(carrick_pods::ipam::Record::title).chain(unreadable).collect())
}
