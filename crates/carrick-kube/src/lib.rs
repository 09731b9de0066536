//! Kubernetes' words: annotations, the resources Peer and Mesh, watches, patches, events.
//!
//! No other crate knows Kubernetes' API. This one turns objects into the model of [`carrick_topology`], and what the agent has to say
//! into writes. The parts that decide anything are pure; the others only carry.
//!
//! ```text
//!  Nodes (metadata), own Node (full), Peers, Mesh
//!          │ watch::watch
//!          ▼
//!  ClusterEvent::Changed(Vec<Change>) ──Change::apply──▶ Cluster
//!  ClusterEvent::OwnNode(OwnNode) ──OwnNode::parsed──▶ carrick_topology::discovery
//!  ClusterEvent::{Synced, OwnNodeMissing, Api}
//!
//!  carrick_topology::Published ──publish::publish_annotations──▶ own Node object
//! ```
//!
//! How an agent uses it:
//!
//! 1. [`client::ApiClient::new`], then spawn [`watch::watch`] with what is known from the disk. Only differences come as
//!    [`carrick_topology::Change`]s.
//! 2. Without a saved state, wait for [`watch::ClusterEvent::Synced`] before the first plan.
//! 3. On [`watch::ClusterEvent::OwnNode`] and when the host's interfaces change, compute [`carrick_topology::discovery::own_facts`], and
//!    publish what follows from it. [`publish::publish_annotations`] writes only what the API does not show already.
//! 4. Pass the plan's warnings through a [`publish::EventLimiter`] to [`publish::publish_event`].
//!
//! Nothing here retries a write: the caller decides when. The watch retries for ever.
#![forbid(unsafe_code)]

pub mod admission;
#[cfg(feature = "agents")]
pub mod agents;
pub mod annotations;
mod causes;
pub mod client;
pub mod connections;
mod connector;
pub mod daemonset;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod kubeconfig;
pub mod mesh;
#[cfg(feature = "agents")]
pub mod nodes;
pub mod objects;
pub mod own_node;
pub mod peer;
mod proxy;
pub mod publish;
pub mod secrets;
#[cfg(feature = "agents")]
pub mod test_pods;
pub mod watch;

pub use causes::with_causes;
pub use kubeconfig::KubeconfigFault;
pub use proxy::ProxyError;
