//! The checks of the fuzz targets for the objects of the API server. Tests run the checks over the corpora.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod annotations;
mod cluster;
pub mod mesh;
pub mod peer;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
replay::corpora!(annotations, mesh, peer);
