//! What the agent decides, as a state machine: events and the time go in, effects and the next deadline come out.
//!
//! The program around it runs a loop:
//!
//! 1. It passes each event to [`Core::handle_event`], and calls [`Core::handle_timeout`] when [`Core::next_deadline`] is reached.
//! 2. It takes effects with [`Core::next_effect`] until there is none, and carries each out.
//! 3. When an effect with an outcome has ended, it passes the outcome back as an event.
//!
//! At most one apply, one publication and one write of each Peer's status are in progress at a time. Nothing here reads a clock or does
//! I/O, so that start-up, debounce, back-off, retries and the loss of the API are tested with a simulated clock.
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::time::Duration;
//!
//! use carrick_core::{ApplyOutcome, Cause, Core, DriftKind, Effect, Event};
//! use carrick_topology::discovery::OwnNode;
//! use carrick_topology::{Change, Node, NodeName, PublicKey, Settings};
//!
//! let me: NodeName = "a".parse()?;
//! let node = Node::new(me.clone(), 0);
//! let mut core = Core::new(me.clone(), PublicKey::from_bytes([1; 32]), Settings::default(), 7);
//! let mut now = Duration::from_secs(1000);
//!
//! // The API server has shown everything, and the node knows its own surroundings.
//! let own = OwnNode::new(node.clone());
//! core.handle_event(now, Event::OwnNode(Box::new(own)));
//! core.handle_event(now, Event::Host(Vec::new().into()));
//! let change = Change::Node { name: me, node: Some(Box::new(node)), warnings: BTreeSet::new() };
//! core.handle_event(now, Event::Changed(vec![change]));
//! core.handle_event(now, Event::Synced);
//! let causes = |core: &mut Core| -> Vec<Cause> {
//!     let effects = std::iter::from_fn(|| core.next_effect());
//!     effects.filter_map(|effect| if let Effect::Apply { cause, .. } = effect { Some(cause) } else { None }).collect()
//! };
//! assert_eq!(causes(&mut core), [], "a burst of changes is taken together");
//!
//! // 10 ms without a change later, the plan is applied.
//! now += Duration::from_millis(10);
//! core.handle_timeout(now);
//! assert_eq!(causes(&mut core), [Cause::Plan]);
//!
//! // A failed apply is tried again after a back-off, and drift does not shorten it.
//! core.handle_event(now, Event::Applied(ApplyOutcome::Failed));
//! core.handle_event(now, Event::Drift(DriftKind::Route));
//! assert_eq!(causes(&mut core), []);
//! now += Duration::from_millis(250);
//! core.handle_timeout(now);
//! assert_eq!(causes(&mut core), [Cause::Retry]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod apply_schedule;
mod cause;
mod debounce;
mod delivery;
mod event;
mod fault;
mod fault_register;
mod former_networks;
mod former_pod_cidrs;
mod inputs;
mod jitter;
mod machine;
mod name_choice;
mod names;
mod overwrites;
mod own;
mod peer_statuses;
mod peers;
mod persistence;
mod probing;
mod publication;

#[cfg(test)]
mod tests;

pub use apply_schedule::{FULL_COMPARISON_INTERVAL, WAITING_INTERVAL, WIREGUARD_POLL_INTERVAL};
pub use carrick_backoff::Now;
pub use cause::{Cause, DriftKind};
pub use event::{ApiState, ApplyOutcome, Effect, Event, PodAddressing, Readiness, Waiting, WriteOutcome};
pub use fault::{Consequence, Fault};
pub use fault_register::{FAULT_PATIENCE, FaultSource};
pub use former_networks::FORMER_NETWORK_LIFETIME;
pub use inputs::DISK_PATIENCE;
pub use machine::Core;
pub use peers::{PeerConnection, PeerObservation, Session};
pub use persistence::PERSIST_INTERVAL;
pub use probing::Probing;
