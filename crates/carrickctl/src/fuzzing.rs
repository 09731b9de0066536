//! The checks of the fuzz targets for the pages of agents. Tests run the checks over the corpora.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod pages;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
replay::corpora!(pages);
