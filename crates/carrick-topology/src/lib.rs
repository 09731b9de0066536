//! The model of the cluster and the plan for each node: pure functions.
//!
//! [`plan`] turns what is known of the cluster into everything that one node's kernel must hold:
//!
//! ```text
//! Cluster + Settings + Liveness + NodeName ──plan()──▶ NodePlan
//! ```
//!
//! Nothing here reads a clock, a file or a socket: the same input gives the same plan on every
//! node. [`walk`] takes the plans of all nodes and follows one packet through them.
#![forbid(unsafe_code)]

pub mod constants;
pub mod handover;
pub mod hash;
mod liveness;
pub mod mesh_address;
pub mod model;
pub mod plan;
mod resolve;
pub mod walk;
mod warning;

pub use liveness::Liveness;
pub use model::{
    Cluster, DeviceName, Encapsulation, Endpoint, Family, Granularity, Host, LocationName, Node, NodeName, Peer,
    PeerName, PublicKey, Settings,
};
pub use plan::{NodePlan, PlanError, plan};
pub use warning::{ObjectName, Warning, WarningReason};
