//! What nodes measure of the ways between them.

#![forbid(unsafe_code)]

mod packet;
mod path;

pub use carrick_topology::plan::PathKind;
pub use packet::{Audience, Hearing, NotAPacket, PACKET_BYTES, Packet, Question};
pub use path::{Path, PathState, ROUND_TRIP_BOUNDS, RoundTrip, RoundTripCounts};
