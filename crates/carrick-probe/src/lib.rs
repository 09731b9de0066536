//! What nodes measure of the ways between them.

#![forbid(unsafe_code)]

mod path;

pub use path::{Path, PathKind, PathState, ROUND_TRIP_BOUNDS, RoundTrip, RoundTripCounts};
