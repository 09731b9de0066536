//! The CNI plugin: one routed veth pair for each pod, no bridge.
//!
//! A container runtime runs the binary `carrick-cni` once for every operation on every pod:
//! [`run`] reads the [`protocol`], and the commands join [`ipam`] (which addresses) and the
//! wiring (which devices and routes). One process, one thread, netlink directly.
//!
//! The agent uses the same crate for its side of the contract: [`node_data`] is what it tells the
//! plugin about the node, [`installation`] puts the configuration and the binary where runtimes look, and
//! [`pod_routes`] says what the host's routing must hold for the pods.
#![forbid(unsafe_code)]

mod attachment;
pub mod call_log;
mod commands;
pub mod firewall;
pub mod host_port;
pub mod installation;
pub mod ipam;
mod namespace;
pub mod node_data;
mod orphan;
pub mod pod_gateways;
pub mod pod_routes;
pub mod protocol;
mod replace_file;
mod sysctl;
pub mod view;
mod wiring;

pub use attachment::{Attachment, PodName};
pub use commands::{Answer, Outcome, run};
