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

mod falls;
mod handover;
mod hearing;
mod judgement;
mod packet;
mod path;
mod path_mtu;
mod prober;
mod pulse;
mod record;
mod responder;
mod target;

/// A point of the monotonic clock, as the time since an origin of the caller's choice.
pub type Now = std::time::Duration;

pub use carrick_topology::plan::PathKind;
pub use falls::Falls;
pub use handover::{Handover, HandoverFlags};
pub use packet::{Audience, Condition, Hearing, NotAPacket, PACKET_BYTES, Packet, Question};
pub use path::{Path, PathState, ROUND_TRIP_BOUNDS, RoundTrip, RoundTripCounts};
pub use prober::{Prober, Standpoint, Tidings, Transmit};
pub use responder::Responder;
pub use target::Shape;
