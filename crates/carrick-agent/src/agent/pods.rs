//! The files of the CNI plugin on the node's disk, for the plugin and the container runtime.

use std::path::PathBuf;

use carrick_core::PodAddressing;
use carrick_pods::Written;
use carrick_pods::installation::{CONFIGURATION_FILE, Installation, Installed, PLUGIN_TYPE, own_binary};
use carrick_pods::node_data::{NodeData, NodeDataError};
use tokio::task::spawn_blocking;

use crate::cli::AgentOptions;

/// Where the plugin's data, the plugin itself and its configuration are written. A runtime that finds a configuration counts the node as
/// ready for pods.
#[derive(Clone, Debug)]
pub(super) struct PodNetworkFiles {
    configuration_directory: PathBuf,
    binary_directory: PathBuf,
    run_directory: PathBuf,
    wireguard_port: u16,
}

impl PodNetworkFiles {
    pub(super) fn new(options: &AgentOptions) -> Self {
        Self {
            configuration_directory: options.cni_conf_dir.clone(),
            binary_directory: options.cni_bin_dir.clone(),
            run_directory: options.run_dir.clone(),
            wireguard_port: options.port,
        }
    }

    /// All files that [`Self::write`] writes.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        vec![
            NodeData::path(&self.run_directory),
            self.configuration_directory.join(CONFIGURATION_FILE),
            self.binary_directory.join(PLUGIN_TYPE),
        ]
    }

    /// Writes the data, then the plugin, then its configuration. With a fault that takes new pods away, it only replaces data that is
    /// there: a new node gets no configuration and does not become ready.
    ///
    /// # Errors
    /// A file cannot be written; why.
    pub(super) async fn write(self, addressing: PodAddressing) -> Result<(), String> {
        let PodAddressing { pod_cidrs, mtu, fault } = addressing;
        let fault = fault.map(|fault| fault.to_string());
        let data = NodeData {
            pod_cidrs: pod_cidrs.into_iter().collect(),
            mtu,
            wireguard_port: Some(self.wireguard_port),
            fault,
        };
        let written = spawn_blocking(move || self.write_blocking(&data).map(|written| (data, written))).await;
        match written.map_err(anyhow::Error::from).flatten() {
            Ok((data, Written::Changed)) => {
                let NodeData { pod_cidrs, mtu, fault, .. } = data;
                tracing::info!(event = "pod_network_written", ?pod_cidrs, mtu, fault);
                Ok(())
            }
            Ok((_, Written::Unchanged)) => Ok(()),
            Err(error) => {
                let error = carrick_kube::with_causes(error.as_ref());
                tracing::warn!(event = "pod_network_not_written", error);
                Err(error)
            }
        }
    }

    fn write_blocking(&self, data: &NodeData) -> anyhow::Result<Written> {
        if data.fault.is_some() {
            return self.write_fault(data);
        }
        let data = data.write(&self.run_directory)?;
        let installation = Installation {
            configuration_directory: self.configuration_directory.clone(),
            binary_directory: self.binary_directory.clone(),
            run_directory: self.run_directory.clone(),
            binary: own_binary()?,
        };
        let Installed { binary, configuration } = installation.install()?;
        let is_change = [data, binary, configuration].contains(&Written::Changed);
        Ok(if is_change { Written::Changed } else { Written::Unchanged })
    }

    fn write_fault(&self, data: &NodeData) -> anyhow::Result<Written> {
        match NodeData::read(&self.run_directory) {
            Err(NodeDataError::Missing(_)) => Ok(Written::Unchanged),
            Ok(_) | Err(NodeDataError::Unreadable { .. } | NodeDataError::Damaged { .. }) => {
                Ok(data.write(&self.run_directory)?)
            }
        }
    }
}
