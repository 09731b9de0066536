//! nftables, with `nft` as the second opinion.

use std::process::Command;

mod elements;
mod modules;
mod readable;
mod transaction;

/// Runs `nft` in the calling thread's namespace; gives what it printed.
fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().expect("these tests need nft");
    assert!(output.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
