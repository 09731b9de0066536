//! What must hold of every datagram, for the fuzz target and for the test, which replays its corpus.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod probe_packet;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_probe_packet_holds() {
        super::replay::replay("probe_packet", super::probe_packet::check);
    }
}
