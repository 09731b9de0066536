//! What must hold of every input, for the fuzz targets and for the tests, which replay their corpora.
#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod cni_call;

#[cfg(test)]
#[path = "../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
#[test]
fn the_corpus_of_cni_call_holds() {
    replay::replay("cni_call", cni_call::check);
}
