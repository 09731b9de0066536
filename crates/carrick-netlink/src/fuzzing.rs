//! What must hold of everything that comes out of a netlink socket, for the fuzz targets and for the tests, which replay their corpora.
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
mod tests {
    use super::replay::replay;

    #[test]
    fn the_corpus_of_netlink_routing_holds() {
        replay("netlink_routing", super::netlink_routing::check);
    }

    #[test]
    fn the_corpus_of_netlink_wireguard_holds() {
        replay("netlink_wireguard", super::netlink_wireguard::check);
    }

    #[test]
    fn the_corpus_of_netlink_nftables_holds() {
        replay("netlink_nftables", super::netlink_nftables::check);
    }
}
