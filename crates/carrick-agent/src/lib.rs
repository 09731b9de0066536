//! The per-node agent and the userspace WireGuard data path: what the binary `carrick` is made of.
#![forbid(unsafe_code)]

pub mod agent;
pub mod cleanup;
pub mod cli;
pub mod connectivity;
pub mod daemonset;
pub mod exit;
pub mod file_error;
pub mod key;
pub mod logging;
pub mod page;
pub mod state;
pub mod userspace_wireguard;
