//! The steps in which the store changes its files. Each step takes effect as a whole or not at all, or it changes a file that no
//! process reads yet. A process may be killed between any two steps.
//!
//! No step syncs: the state must survive the process, not the machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;

use carrick_files::{Durability, Replacement, Staged, remove_file_if_present};

const RECORD: Replacement = Replacement { mode: 0o600, durability: Durability::ProcessEnd };

/// Writes a record to a temporary file.
pub(super) fn stage(temporary: &Path, content: &[u8]) -> io::Result<Staged> {
    step();
    RECORD.stage_at(temporary, content)
}

/// Puts the record in its place.
pub(super) fn rename(staged: Staged, path: &Path) -> io::Result<()> {
    step();
    staged.rename_to(path)
}

/// Creates a symbolic link.
pub(super) fn link(target: &Path, path: &Path) -> io::Result<()> {
    step();
    symlink(target, path)
}

/// Removes a file. A file that does not exist is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    step();
    remove_file_if_present(path)
}

/// Overwrites the start of a file.
pub(super) fn overwrite(file: &File, content: &[u8]) -> io::Result<()> {
    step();
    file.write_all_at(content, 0)
}

#[cfg(not(test))]
fn step() {}

/// Panics at the step that a test has chosen.
#[cfg(test)]
fn step() {
    tests::LEFT.with(|left| {
        let steps = left.get().checked_sub(1).unwrap_or_else(|| panic!("killed here"));
        left.set(steps);
    });
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        pub(super) static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// Makes this thread panic after `steps` more steps.
    pub(in crate::ipam) fn panic_after(steps: usize) {
        LEFT.with(|left| left.set(steps));
    }
}
