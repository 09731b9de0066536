//! What must hold of everything that the network tells the agent, for the fuzz target and for the test, which replays its corpus.

pub mod icmp_error;

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_icmp_error_holds() {
        super::replay::replay("icmp_error", super::icmp_error::check);
    }
}
