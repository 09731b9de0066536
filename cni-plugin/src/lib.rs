//! The CNI plugin: a routed veth pair for each pod, without a bridge.
//!
//! A container runtime runs the program `carrick-cni` once for each operation on a pod. [`run`] reads the call ([`protocol`]), reserves
//! addresses ([`carrick_pods::ipam`]) and configures devices and routes (`wiring`). The plugin is one process with one thread, and it
//! uses netlink directly. What the agent needs too is in [`carrick_pods`].
#![forbid(unsafe_code)]

mod commands;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod namespace;
mod orphan;
mod panic;
pub mod protocol;
mod sysctl;
pub mod view;
mod wiring;

pub use commands::{Answer, Outcome, run, run_loopback};
pub use panic::answer_panics;
