//! Clouds in network namespaces on one machine, for the demo and the end-to-end tests.
//!
//! A [`Lab`] is an internet, a router for each location, nodes behind the routers and pods on the nodes. All of them are in
//! namespaces of one process tree, whose root is the lab's first process. When that process or the process that holds the [`Lab`]
//! ends, for whatever reason, the kernel removes the whole lab. The lab changes nothing in the machine's own namespaces.
//!
//! Errors are `anyhow`'s: no caller decides by their kind, and each one is shown to a person.
#![forbid(unsafe_code)]

pub mod address;
pub mod agent;
pub mod binaries;
pub mod capture;
pub mod cluster;
pub mod cni;
pub mod cpu_affinity;
pub mod daemon;
pub mod delay;
mod delayed_packets;
pub mod description;
pub mod drawing;
pub mod failure;
pub mod flow;
pub mod host_setup;
pub mod init;
pub mod internet;
pub mod kubernetes;
pub mod lab;
pub mod layout;
mod log_tail;
pub mod logging;
pub mod matrix;
pub mod namespace;
pub mod network;
pub mod node;
pub mod paths;
pub mod ping;
pub mod pod;
pub mod process;
pub mod site;
pub mod state;
pub mod supervisor;
pub mod text_table;
pub mod topology;
pub mod transfer;
pub mod wait;

pub use lab::Lab;
pub use topology::Topology;
