//! What the CNI plugin and the container runtime find on the node's disk.

use std::path::PathBuf;

use carrick_pods::installation::{Installation, own_binary};
use carrick_pods::node_data::NodeData;
use carrick_topology::NodePlan;

use crate::cli::AgentOptions;

/// Writes the plugin's data, then, once the node is programmed, the plugin itself and its configuration: a runtime that finds a
/// configuration counts the node as ready for pods.
#[derive(Debug)]
pub(super) struct PodNetworkFiles {
    configuration_directory: PathBuf,
    binary_directory: PathBuf,
    run_directory: PathBuf,
    written: Option<NodeData>,
}

impl PodNetworkFiles {
    pub(super) fn new(options: &AgentOptions) -> Self {
        Self {
            configuration_directory: options.cni_conf_dir.clone(),
            binary_directory: options.cni_bin_dir.clone(),
            run_directory: options.run_dir.clone(),
            written: None,
        }
    }

    /// Takes over what a plan says of pods. Without a pod CIDR there is nothing to tell a runtime.
    pub(super) fn update(&mut self, plan: &NodePlan) {
        let data = NodeData { pod_cidrs: plan.pod_cidrs.iter().copied().collect(), mtu: plan.pod_mtu };
        if data.pod_cidrs.is_empty() || self.written.as_ref() == Some(&data) {
            return;
        }
        match self.write(&data) {
            Ok(()) => {
                tracing::info!(event = "pod_network_written", pod_cidrs = ?data.pod_cidrs, mtu = data.mtu);
                self.written = Some(data);
            }
            Err(error) => tracing::warn!(event = "pod_network_not_written", error = %format!("{error:#}")),
        }
    }

    fn write(&self, data: &NodeData) -> anyhow::Result<()> {
        data.write(&self.run_directory)?;
        let installation = Installation {
            configuration_directory: self.configuration_directory.clone(),
            binary_directory: self.binary_directory.clone(),
            run_directory: self.run_directory.clone(),
            binary: own_binary()?,
        };
        installation.install()?;
        Ok(())
    }
}
