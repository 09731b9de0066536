//! What must hold of every page that agents give, for the fuzz target and for the test, which replays its corpus.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod pages;

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    #[test]
    fn the_corpus_of_pages_holds() {
        super::replay::replay("pages", super::pages::check);
    }
}
