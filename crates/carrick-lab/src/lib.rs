//! Clouds in network namespaces on one machine: the demo and the end-to-end tests.
//!
//! A [`Lab`] is an internet, a router per location, nodes behind the routers and pods on the nodes,
//! all in namespaces of one process tree whose root is the lab's first process. When that process or
//! the one that holds the [`Lab`] ends, for whatever reason, the kernel removes all of it. Nothing is
//! changed in the machine's own namespaces.
//!
//! Errors are `anyhow`'s throughout: nobody decides by their kind, each ends before a person.
#![forbid(unsafe_code)]

pub mod address;
pub mod agent;
pub mod binaries;
pub mod capture;
pub mod cluster;
pub mod cni;
pub mod daemon;
pub mod delay;
mod delayed_packets;
pub mod description;
pub mod drawing;
pub mod failover;
pub mod failure;
pub mod flow;
mod footprint;
pub mod host_setup;
pub mod init;
pub mod internet;
pub mod kubernetes;
pub mod lab;
pub mod layout;
mod log_tail;
pub mod matrix;
pub mod namespace;
pub mod network;
pub mod node;
pub mod ping;
pub mod pod;
pub mod pod_life;
pub mod process;
pub mod processor;
mod quantile;
pub mod scale;
pub mod site;
pub mod state;
pub mod supervisor;
pub mod topology;
pub mod transfer;
pub mod wait;

pub use lab::Lab;
pub use topology::Topology;
