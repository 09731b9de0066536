//! Replacing a file so that a reader, or a crash at any moment, meets the old or the new one whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Puts `content` in the place of `path` with permission bits `mode`. `temporary` is where the file
/// grows up; it stands in the same file system and a leftover of an earlier crash is overwritten.
pub(crate) fn replace_file(path: &Path, temporary: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_whole(temporary, content, mode)?;
    fs::rename(temporary, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_content_and_mode_and_leaves_no_temporary() {
        let directory = tempfile::tempdir().unwrap();
        let (path, temporary) = (directory.path().join("file"), directory.path().join(".file.new"));
        fs::write(&path, "old").unwrap();
        fs::write(&temporary, "a longer leftover of an earlier crash").unwrap();

        replace_file(&path, &temporary, b"new", 0o755).unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o755);
        assert!(!temporary.exists());
    }
}
