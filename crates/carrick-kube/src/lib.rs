//! Kubernetes' words: annotations, the Peer resource, watches, patches, events.
//!
//! This crate is all that knows Kubernetes. It turns objects into the model of [`carrick_topology`], and what the agent has to say into
//! writes. The parts that decide anything are pure; the others only carry.
//!
//! ```text
//!  Nodes (metadata), own Node (full), Peers                    interfaces of the host
//!          │ watch::watch                                             │
//!          ▼                                                          ▼
//!  ClusterEvent::Changed(Vec<Change>) ──Change::apply──▶ Cluster    own_node::own_facts
//!  ClusterEvent::OwnNode(OwnNode) ─────────────────────────────────▶  │ OwnFacts
//!  ClusterEvent::{Synced, OwnNodeMissing, Api}                        ▼
//!                                                           annotations::Published
//!                                                                     │ publish::publish_annotations
//!                                                                     ▼
//!                                                               own Node object
//! ```
//!
//! How an agent uses it:
//!
//! 1. [`persist::load`] the last state; with one, plan at once, API or not.
//! 2. [`client::ApiClient::new`], then spawn [`watch::watch`] with what is known. Only differences come as [`watch::Change`]s.
//! 3. Without a saved state, wait for [`watch::ClusterEvent::Synced`] before the first plan.
//! 4. On [`watch::ClusterEvent::OwnNode`] and when the host's interfaces change, compute [`own_node::own_facts`], and publish what came of
//!    it. [`publish::publish_annotations`] writes only what the API does not show already.
//! 5. Give the domain names among the endpoints to [`dns::DnsHandle::want`], the plan's warnings through a [`publish::EventLimiter`] to
//!    [`publish::publish_event`], and each change of the cluster to [`persist::save`].
//!
//! Nothing here retries a write: that is for the caller, whose [`backoff::Backoff`] and clock are its own. The watch retries for ever.
#![forbid(unsafe_code)]

#[cfg(feature = "agents")]
pub mod agents;
pub mod annotations;
pub mod backoff;
mod causes;
pub mod client;
pub mod dns;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod objects;
pub mod own_node;
pub mod peer;
#[cfg(unix)]
pub mod persist;
pub mod publish;
pub mod secrets;
pub mod watch;

pub use causes::with_causes;
