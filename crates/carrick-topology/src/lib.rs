//! The model of the cluster and the plan for each node: pure functions.
//!
//! [`plan()`] computes everything that the kernel of one node must hold:
//!
//! ```text
//! Cluster + Settings + Liveness + NodeName ──plan()──▶ NodePlan
//! ```
//!
//! No code here reads a clock, a file or a socket: the same input gives the same plan on every node. [`walk`] follows a packet through the
//! plans of all nodes, and [`handover`] describes how traffic moves from one gateway to another.
#![forbid(unsafe_code)]

mod change;
pub mod constants;
pub mod discovery;
pub mod handover;
pub mod hash;
mod liveness;
pub mod mesh_address;
pub mod model;
pub mod plan;
mod published;
mod resolve;
pub mod walk;

pub use change::Change;
pub use liveness::Liveness;
pub use model::{
    Cluster, DeviceName, Encapsulation, Endpoint, Family, Granularity, Host, LocationName, Mesh, Node, NodeName,
    ObjectName, Peer, PeerName, PublicKey, Settings, Warning, WarningReason,
};
pub use plan::{NodePlan, PlanError, plan};
pub use published::{MOST_OBSERVED_ENDPOINTS_BYTES, Published};
