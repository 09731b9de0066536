//! The steps by which the store changes the disk. Each is one system call that takes effect whole or not at all,
//! or touches a file that nobody reads yet; a process may die between any two.
//!
//! Nothing is synced: the state must outlive the process, not the machine.

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

/// Gives the record its name.
pub(super) fn rename(staged: Staged, path: &Path) -> io::Result<()> {
    step();
    staged.rename_to(path)
}

/// Makes a symbolic link.
pub(super) fn link(target: &Path, path: &Path) -> io::Result<()> {
    step();
    symlink(target, path)
}

/// Removes a file; none is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    step();
    remove_file_if_present(path)
}

/// Overwrites a file's beginning.
pub(super) fn overwrite(file: &File, content: &[u8]) -> io::Result<()> {
    step();
    file.write_all_at(content, 0)
}

#[cfg(not(test))]
fn step() {}

/// Dies at the step that a test has chosen.
#[cfg(test)]
fn step() {
    tests::LEFT.with(|left| {
        let steps = left.get().checked_sub(1).unwrap_or_else(|| panic!("dies here"));
        left.set(steps);
    });
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        pub(super) static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// Lets this thread do so many steps; it panics at the next.
    pub(in crate::ipam) fn die_after(steps: usize) {
        LEFT.with(|left| left.set(steps));
    }
}
