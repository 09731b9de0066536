//! Replacing files.
//!
//! A reader, and a process that starts after a crash, find either the old content of the file or the new one, never a part.
//! The new content goes into a temporary file beside the file; `rename(2)` then replaces the file in one step.
//!
//! ```
//! use carrick_files::{Durability, Replacement};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("node-name");
//! Replacement { mode: 0o600, durability: Durability::PowerFailure }.write(&path, b"node-1\n")?;
//! assert_eq!(std::fs::read(&path)?, b"node-1\n");
//! # Ok::<(), std::io::Error>(())
//! ```
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// What the new content survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power failure: the file and its directory are synced (`fsync(2)`). For files on a disk.
    PowerFailure,
    /// The end of the process, but no power failure: nothing is synced. For files in a tmpfs, which a reboot empties.
    ProcessEnd,
}

/// How a file is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replacement {
    /// Permission bits of the file, independent of the umask.
    pub mode: u32,
    /// What the new content survives.
    pub durability: Durability,
}

impl Replacement {
    /// Puts `content` in the place of the file. Creates the file if it does not exist; its directory must exist.
    ///
    /// Only one process at a time may replace a file: a temporary file that a crashed process left is removed.
    ///
    /// # Errors
    ///
    /// The file system failed. No temporary file remains. The file holds its old content, unless the sync of the directory
    /// failed, which is the last step.
    pub fn write(self, path: &Path, content: &[u8]) -> io::Result<()> {
        self.stage(&temporary(path)?, |file| file.write_all(content))?.rename_to(path)
    }

    /// Like [`Replacement::write`], for content that `write` produces piece by piece. Writes are buffered.
    ///
    /// # Errors
    ///
    /// As for [`Replacement::write`]; also what `write` returns.
    pub fn write_with(
        self,
        path: &Path,
        write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
    ) -> io::Result<()> {
        let buffered = |file: &mut File| {
            let mut writer = BufWriter::new(file);
            write(&mut writer)?;
            writer.flush()
        };
        self.stage(&temporary(path)?, buffered)?.rename_to(path)
    }

    /// Writes `content` to the file `temporary`, which [`Staged::rename_to`] then puts in its place. For callers whose
    /// temporary file must be in another directory. Both must be in the same file system.
    ///
    /// # Errors
    ///
    /// The file system failed. No temporary file remains.
    pub fn stage_at(self, temporary: &Path, content: &[u8]) -> io::Result<Staged> {
        self.stage(temporary, |file| file.write_all(content))
    }

    fn stage(self, temporary: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Staged> {
        // It could have other permissions, or be a link to another file.
        remove_file_if_present(temporary)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(self.mode).open(temporary)?;
        let written = write(&mut file)
            .and_then(|()| file.set_permissions(Permissions::from_mode(self.mode)))
            .and_then(|()| self.durability.sync(&file));
        let staged = Staged { temporary: temporary.to_owned(), durability: self.durability };
        match written {
            Ok(()) => Ok(staged),
            Err(error) => Err(staged.discard(error)),
        }
    }
}

/// New content that is not in its place yet.
#[derive(Debug)]
#[must_use = "the file still has its old content"]
pub struct Staged {
    temporary: PathBuf,
    durability: Durability,
}

impl Staged {
    /// Puts the content in the place of the file `path`.
    ///
    /// # Errors
    ///
    /// As for [`Replacement::write`].
    pub fn rename_to(self, path: &Path) -> io::Result<()> {
        match fs::rename(&self.temporary, path) {
            Ok(()) => self.durability.sync_directory_of(path),
            Err(error) => Err(self.discard(error)),
        }
    }

    /// Removes the temporary file; the first error counts.
    fn discard(self, error: io::Error) -> io::Error {
        let _ = fs::remove_file(self.temporary);
        error
    }
}

impl Durability {
    fn sync(self, file: &File) -> io::Result<()> {
        match self {
            Self::PowerFailure => file.sync_all(),
            Self::ProcessEnd => Ok(()),
        }
    }

    /// A new name is on the disk once its directory is.
    fn sync_directory_of(self, path: &Path) -> io::Result<()> {
        match (self, path.parent()) {
            (Self::PowerFailure, Some(directory)) if directory.as_os_str().is_empty() => File::open(".")?.sync_all(),
            (Self::PowerFailure, Some(directory)) => File::open(directory)?.sync_all(),
            (Self::PowerFailure, None) | (Self::ProcessEnd, _) => Ok(()),
        }
    }
}

/// Removes a file; a file that does not exist is no error.
///
/// # Errors
///
/// The file exists and cannot be removed.
pub fn remove_file_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `.NAME.new` beside the file. Container runtimes load names that end in `.conf`, `.conflist` or `.json`; this one does not.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the path of a file"));
    };
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    Ok(path.with_file_name(temporary))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    const DURABILITIES: [Durability; 2] = [Durability::PowerFailure, Durability::ProcessEnd];

    fn directory() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file.json");
        (directory, path)
    }

    fn replacement(mode: u32) -> Replacement {
        Replacement { mode, durability: Durability::PowerFailure }
    }

    fn names(directory: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_created_and_then_replaced_whole() {
        for durability in DURABILITIES {
            let (directory, path) = directory();
            let replacement = Replacement { mode: 0o600, durability };
            replacement.write(&path, b"a longer first content").unwrap();
            replacement.write(&path, b"second").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"second");
            assert_eq!(names(&directory), ["file.json"]);
        }
    }

    #[test]
    fn the_mode_is_the_given_one_whatever_the_old_file_or_the_umask_had() {
        let (_directory, path) = directory();
        // Modes that the umask 022 narrows are among them.
        for wanted in [0o600, 0o666, 0o755, 0o644] {
            replacement(wanted).write(&path, b"content").unwrap();
            assert_eq!(mode(&path), wanted);
        }
    }

    #[test]
    fn a_crash_between_write_and_rename_leaves_the_old_content() {
        let (directory, path) = directory();
        replacement(0o600).write(&path, b"old").unwrap();
        // A process that dies here runs nothing more.
        std::mem::forget(replacement(0o644).stage_at(&temporary(&path).unwrap(), b"a longer new content").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(&directory), [".file.json.new", "file.json"]);

        replacement(0o600).write(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o600));
        assert_eq!(names(&directory), ["file.json"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_content_and_no_temporary_file() {
        let (directory, path) = directory();
        replacement(0o600).write(&path, b"old").unwrap();
        let error = replacement(0o600)
            .write_with(&path, |writer| {
                writer.write_all(b"half of the new content")?;
                writer.flush()?;
                Err(io::Error::other("the disk is full"))
            })
            .unwrap_err();
        assert_eq!(error.to_string(), "the disk is full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(&directory), ["file.json"]);
    }

    #[test]
    fn a_failed_rename_leaves_no_temporary_file() {
        let (directory, path) = directory();
        // No file can be renamed onto a directory.
        fs::create_dir(&path).unwrap();
        replacement(0o600).write(&path, b"new").unwrap_err();
        assert!(path.is_dir());
        assert_eq!(names(&directory), ["file.json"]);
    }

    #[test]
    fn content_in_pieces_is_written_whole() {
        let (_directory, path) = directory();
        let pieces = (0..10_000).map(|number| format!("{number}\n"));
        let whole: String = pieces.clone().collect();
        let mut pieces = pieces;
        let write = |writer: &mut BufWriter<&mut File>| pieces.try_for_each(|piece| writer.write_all(piece.as_bytes()));
        replacement(0o600).write_with(&path, write).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }

    #[test]
    fn a_link_in_the_place_of_the_temporary_file_is_not_followed() {
        let (directory, path) = directory();
        let other = directory.path().join("other");
        fs::write(&other, "of another program").unwrap();
        symlink(&other, temporary(&path).unwrap()).unwrap();
        replacement(0o600).write(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "of another program");
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_path_without_a_file_name_is_refused() {
        for path in ["/", "..", ""] {
            let error = replacement(0o600).write(Path::new(path), b"new").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
    }

    #[test]
    fn a_file_that_does_not_exist_is_removed_without_error() {
        let (directory, path) = directory();
        fs::write(&path, "content").unwrap();
        remove_file_if_present(&path).unwrap();
        remove_file_if_present(&path).unwrap();
        assert_eq!(names(&directory), [""; 0]);
        remove_file_if_present(directory.path()).unwrap_err();
    }
}
