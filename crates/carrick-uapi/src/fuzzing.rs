//! The checks of the fuzz targets for texts of the protocol. Tests run the checks over the corpora.

pub mod uapi;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
replay::corpora!(uapi);
