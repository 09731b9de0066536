//! Runs the checks of fuzz targets over their corpora, without a fuzzer. Each crate that has targets includes this file as a module.

use std::path::Path;

/// Runs a target's check over every input of its corpus, `fuzz/corpus/TARGET`.
///
/// # Panics
///
/// There is no corpus, or the check fails for one of its inputs, which is the last one that was printed.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|directory| directory.join("fuzz/corpus").is_dir());
    let corpus = root.unwrap().join("fuzz/corpus").join(target);
    let mut inputs: Vec<_> = corpus.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!inputs.is_empty(), "{} is empty", corpus.display());
    inputs.sort();
    for input in inputs {
        println!("{}", input.display());
        check(&std::fs::read(&input).unwrap());
    }
}

/// Makes a test for each fuzz target of a crate, which runs the target's check over its corpus. The module that calls this macro contains
/// this file as the module `replay`, and each target as a module with the function `check`.
macro_rules! corpora {
    ($($target:ident),+) => {
        mod the_corpus_holds_for {
            $(
                #[test]
                fn $target() {
                    super::replay::replay(stringify!($target), super::$target::check);
                }
            )+
        }
    };
}
pub(crate) use corpora;
