//! The fuzz target's corpus, without a fuzzer: what `scripts/test.sh --fuzz` starts from, and what it found once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[path = "../fuzz/call.rs"]
mod call;

#[test]
fn corpus_holds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/call");
    let entries: Vec<_> = corpus.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!entries.is_empty());
    for entry in entries {
        println!("{}", entry.display());
        call::check(&std::fs::read(&entry).unwrap());
    }
}
