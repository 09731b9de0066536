//! API servers for tests.
//!
//! - [`ApiServer`]: a small Kubernetes API server in memory. It serves Nodes, Peers, Events, Secrets and Namespaces over plain
//!   HTTP from a thread of its own, counts requests, and fails on demand ([`Fault`]). The demo runs on it, and tests of faults do.
//! - [`control_plane::ControlPlane`]: a real etcd and kube-apiserver, as processes.
//! - [`proxy::Proxy`]: a TCP proxy in front of either of them, which cuts, stalls or delays connections on demand.
//!
//! The small server follows Kubernetes where Carrick depends on it: resource versions, watches with bookmarks and 410 Gone,
//! metadata-only answers, pages, merge patch, UID preconditions, the status subresource. It does not validate objects, authenticate,
//! authorize or set defaults; it takes the bearer token as the user name. It merges an apply patch as it merges a merge patch, and
//! tracks no field managers: what depends on server-side apply is tested against the real server.
#![forbid(unsafe_code)]

pub mod control_plane;
mod error;
mod fault;
mod http;
mod kubeconfig;
mod namespace;
mod object;
pub mod proxy;
mod read;
mod request_counts;
mod resource;
mod route;
mod selector;
mod server;
mod shared;
mod store;
mod watch;
mod write;

pub use error::{ApiError, Reason};
pub use fault::{Fault, FaultDuration, RequestFilter};
pub use request_counts::{RequestCounts, RequestKind, Verb};
pub use resource::{Key, Resource, Scope};
pub use server::{ApiServer, CLUSTER_UID, NAMESPACES};
