//! What must hold of every text of the protocol, for the fuzz target and for the test, which replays its corpus.

pub mod uapi;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_uapi_holds() {
        super::replay::replay("uapi", super::uapi::check);
    }
}
