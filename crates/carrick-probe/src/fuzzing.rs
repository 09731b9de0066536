//! The checks of the fuzz targets for probe packets. Tests run the checks over the corpora.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod probe_packet;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
replay::corpora!(probe_packet);
