//! The checks of the fuzz targets for netlink messages. Tests run the checks over the corpora.
//!
//! The kernel is trusted to be well-meaning, not to be of the version that this crate was written for. The checks hold that what is
//! read was in the message, that what is read is written back as the same, and that no message stops the process.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

mod answer;
pub mod netlink_nftables;
pub mod netlink_routing;
pub mod netlink_wireguard;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
replay::corpora!(netlink_routing, netlink_wireguard, netlink_nftables);
