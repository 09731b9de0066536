//! The lock of the store: one process at a time changes records and claims.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::{StoreError, at};

/// How long a process waits. Others hold the lock for microseconds; on a busy machine, hundreds of calls wait for each other.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);
/// Who can open the file can hold its lock (flock(2)).
const MODE: u32 = 0o600;

/// Locks the file until the returned handle is closed. The kernel also unlocks it when the process ends.
///
/// # Errors
///
/// The file does not exist, the file system failed, or another process holds the lock for longer than the limit.
pub(super) fn acquire(path: &Path, limit: Duration) -> Result<File, StoreError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?;
    if file.metadata().map_err(at(path))?.permissions().mode() & 0o777 != MODE {
        file.set_permissions(Permissions::from_mode(MODE)).map_err(at(path))?;
    }
    let until = Instant::now() + limit;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(source)) => return Err(at(path)(source)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: path.to_owned(), seconds: limit.as_secs() });
            }
        }
    }
}

/// Creates the file, if it does not exist.
///
/// # Errors
///
/// The file system failed.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(MODE);
    options.open(path).map(drop).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn a_lock_that_another_process_keeps_is_an_error_after_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        create(&path).unwrap();
        let held = acquire(&path, SHORT).unwrap();
        let error = acquire(&path, SHORT).unwrap_err();
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("lslocks"), "{error}");

        thread::scope(|scope| {
            let waiting = scope.spawn(|| acquire(&path, LIMIT).map(drop));
            drop(held);
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn only_the_owner_can_open_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        create(&path).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        acquire(&path, SHORT).unwrap();
        assert_eq!(mode(), MODE, "a version before created it for all");
    }
}
