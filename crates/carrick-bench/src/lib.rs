//! Benchmarks of Carrick on clouds in network namespaces of one machine.
//!
//! - [`scale`]: what one agent costs beside many Node objects, and how fast it follows their changes.
//! - [`failover`]: how long traffic pauses when a gateway fails, and what the gateway's return costs.
//! - [`drift`]: how long the agent takes to put right what another program deleted or changed.
//! - [`pod_churn`]: how long many pods take to start and to end on a real cluster.
//!
//! Errors are `anyhow`'s: no caller decides by their kind, and each one is shown to a person.
#![forbid(unsafe_code)]

pub mod drift;
pub mod failover;
pub mod pod_churn;
mod process_usage;
mod quantile;
pub mod scale;
