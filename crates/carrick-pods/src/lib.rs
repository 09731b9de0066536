//! What the CNI plugin and the agent share about the pods of a node.
//!
//! The plugin `carrick-cni` attaches pods and exits. The agent tells the plugin about the node, installs the plugin, and
//! repairs what the plugin configured on the host. Both sides agree on the following:
//!
//! | module | content | written by | read by |
//! |---|---|---|---|
//! | [`node_data`] | pod CIDRs and MTU of the node | agent | plugin |
//! | [`ipam`] | one record for each attached pod; claimed addresses and host ports | plugin | both |
//! | [`firewall`] | the nftables table that follows from the records | both | kernel |
//! | [`pod_routes`] | the host's routes and neighbours that follow from the records | both | kernel |
//! | [`device_settings`] | the kernel settings of a veth pair's ends | both | kernel |
//! | [`pod_gateways`] | the host's end of each veth pair, as the pod's next hop | plugin | agent |
//! | [`call_log`] | outcome and duration of each call | plugin | agent |
//! | [`installation`] | the plugin's binary and its CNI network configuration | agent | container runtime |
//!
//! This crate knows nothing of the CNI protocol except its [versions](cni_version), which the configuration lists.
#![forbid(unsafe_code)]

mod attachment;
pub mod call_log;
pub mod cni_version;
pub mod device_settings;
pub mod firewall;
mod gateway;
pub mod host_port;
pub mod installation;
pub mod ipam;
pub mod node_data;
pub mod pod_gateways;
pub mod pod_routes;
mod rate;
mod written;

pub use attachment::{Attachment, PodName, is_host_device};
pub use rate::Rate;
pub use written::Written;
