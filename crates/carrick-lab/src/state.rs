//! The directory of a lab on the machine: disks of nodes, logs, and a lock that shows whether the lab runs.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// The subdirectory of the control plane. No node can have this name.
pub const CONTROL_PLANE: &str = "kubernetes";

/// A lab's directory. It is locked while the lab runs, and removed when this is dropped.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Makes the directory of a lab, and removes the directories of labs that were killed.
    ///
    /// # Errors
    /// A lab of this name runs, or the directory cannot be made.
    pub fn create(name: &str) -> Result<Self> {
        let base = base()?;
        let base_lock = lock_base(&base)?;
        sweep(&base)?;
        let path = base.join(name);
        if path.exists() {
            bail!("a lab named {name:?} is running; end it with `carrick-lab down --name {name}`");
        }
        fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
        let mut lock = File::create(lock_path(&path)).context("make the lab's lock")?;
        write!(lock, "{}", std::process::id())?;
        lock.lock().context("lock the lab's directory")?;
        drop(base_lock);
        Ok(Self { path, _lock: lock })
    }

    /// The path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A subdirectory, which is made if it does not exist.
    ///
    /// # Errors
    /// The subdirectory cannot be made.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // The lock keeps other processes from removing the directory at the same time.
        let removed = self.path.parent().map_or(Ok(()), |base| {
            let _lock = lock_base(base)?;
            fs::remove_dir_all(&self.path).context("remove the lab's directory")
        });
        if let Err(error) = removed {
            tracing::warn!(event = "state_not_removed", path = %self.path.display(), error = format!("{error:#}"));
        }
    }
}

/// Removes the directories of labs that do not run, and returns the names of those that run.
///
/// # Errors
/// The directories cannot be read or removed.
pub fn clear() -> Result<Vec<String>> {
    let base = base()?;
    let _lock = lock_base(&base)?;
    sweep(&base)
}

/// The directory of a lab, whether the lab runs or not.
///
/// # Errors
/// The base directory cannot be used.
pub fn path_of(name: &str) -> Result<PathBuf> {
    Ok(base()?.join(name))
}

/// The PID of the process that holds a running lab.
///
/// # Errors
/// No lab of this name runs.
pub fn holder(name: &str) -> Result<u32> {
    let path = path_of(name)?;
    ensure!(is_running(&path)?, "no lab named {name:?} is running");
    let text = fs::read_to_string(lock_path(&path)).context("read the lab's lock")?;
    text.parse().context("the lab's lock has no PID")
}

/// Waits until a lab has ended.
///
/// # Errors
/// Its lock cannot be waited for.
pub fn await_end(name: &str) -> Result<()> {
    match File::open(lock_path(&path_of(name)?)) {
        Ok(lock) => lock.lock().context("wait for the lab's lock"),
        Err(_removed) => Ok(()),
    }
}

fn base() -> Result<PathBuf> {
    let base = std::env::temp_dir().join("carrick-lab");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&base)
        .with_context(|| format!("make {}", base.display()))?;
    let owner = fs::symlink_metadata(&base)?.uid();
    ensure!(owner == nix::unistd::geteuid().as_raw(), "{} belongs to user {owner}", base.display());
    Ok(base)
}

fn lock_base(base: &Path) -> Result<File> {
    let lock = File::create(base.join(".lock")).context("make the lock of all labs")?;
    lock.lock().context("lock the labs' directory")?;
    Ok(lock)
}

fn lock_path(lab: &Path) -> PathBuf {
    lab.join("lock")
}

fn sweep(base: &Path) -> Result<Vec<String>> {
    let mut running = Vec::new();
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if is_running(&entry.path())? {
            running.push(entry.file_name().to_string_lossy().into_owned());
        } else {
            fs::remove_dir_all(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    running.sort();
    Ok(running)
}

fn is_running(lab: &Path) -> Result<bool> {
    let Ok(lock) = File::open(lock_path(lab)) else {
        return Ok(false);
    };
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("test the lab's lock"),
    }
}
