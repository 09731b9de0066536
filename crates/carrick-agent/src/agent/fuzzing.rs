//! The checks of the fuzz targets for messages of the network. Tests run the checks over the corpora.

pub mod icmp_error;

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
replay::corpora!(icmp_error);
