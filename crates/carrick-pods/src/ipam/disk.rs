//! The steps by which the store changes the disk. Each is one system call that takes effect whole or not at all,
//! or touches a file that nobody reads yet; a process may die between any two.
//!
//! Nothing is flushed: the state must outlive the process, not the machine.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, symlink};
use std::path::Path;

/// Writes a file that nobody reads yet.
pub(super) fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    step();
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    step();
    file.write_all(content)
}

/// Gives a file its name, in the place of what had it.
pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    step();
    fs::rename(from, to)
}

/// Makes a symbolic link.
pub(super) fn link(target: &Path, path: &Path) -> io::Result<()> {
    step();
    symlink(target, path)
}

/// Removes a file; none is fine.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    step();
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
