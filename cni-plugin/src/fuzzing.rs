//! The checks of the fuzz targets. The tests run them over the corpora.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod cni_call;

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
replay::corpora!(cni_call);
