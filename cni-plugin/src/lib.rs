//! The CNI plugin: one routed veth pair for each pod, no bridge.
//!
//! A container runtime runs the binary `carrick-cni` once for every operation on every pod:
//! [`run`] reads the [`protocol`], reserves addresses ([`carrick_pods::ipam`]) and configures devices and routes
//! (`wiring`). One process, one thread, netlink directly. What the agent needs to know too is in [`carrick_pods`].
#![forbid(unsafe_code)]

mod commands;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod namespace;
mod orphan;
pub mod protocol;
mod sysctl;
pub mod view;
mod wiring;

pub use commands::{Answer, Outcome, run};
