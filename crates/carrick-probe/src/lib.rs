//! What nodes measure of the ways between them: round trips, loss, path MTU, and which gateways are down.
//!
//! ```text
//! ProbePlan, answers, the time ──▶ Prober ──▶ datagrams to send
//!                                         ──▶ Liveness and path MTUs for the plan
//!                                         ──▶ Paths for people and metrics
//! questions ──▶ Responder ──▶ answers
//! ```
//!
//! No I/O, no clock: the time is handed in, as the time since an origin of the caller's choice.

#![forbid(unsafe_code)]

mod failure_detector;
mod flap_count;
mod handover;
mod heard_peers;
mod packet;
mod path_liveness;
mod path_mtu;
mod probed_path;
mod prober;
mod record;
mod responder;
mod target;

/// A point of the monotonic clock, as the time since an origin of the caller's choice.
pub type Now = std::time::Duration;

pub use carrick_topology::plan::PathKind;
pub use flap_count::FlapCount;
pub use handover::HandoverFlags;
pub use packet::{Announcement, Condition, HeardPeers, NotAPacket, PACKET_BYTES, Packet, Question, Reachability};
pub use probed_path::{PathState, ProbedPath, ROUND_TRIP_BOUNDS, RoundTrip, RoundTripCounts};
pub use prober::{Position, Prober, ProberEvent, Transmit};
pub use responder::Responder;
pub use target::Shape;
