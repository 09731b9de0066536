//! Starts the data path as a process that outlives its parent, and stops it.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::uapi;
use crate::exit::Exit;
use carrick_topology::DeviceName;

/// The time between two attempts to connect to the socket.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How long a new process may take to answer, or an old process to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A data path to start as a separate process.
#[derive(Debug, Clone)]
pub struct Detached<'a> {
    /// The `carrick` binary; `/proc/self/exe` for the one that runs.
    pub program: &'a Path,
    /// The interface to carry.
    pub interface: &'a DeviceName,
    /// The directory of the log file `userspace-wireguard-INTERFACE.log`.
    pub run_dir: &'a Path,
}

/// Why the data path could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// The log file or the process cannot be made.
    #[error("cannot {action}: {source}")]
    Io {
        /// The operation.
        action: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// The process ended at once.
    #[error("carrick userspace-wireguard {interface} ended at once ({status}); {} says: {reason}", log.display())]
    Ended {
        /// The interface to carry.
        interface: DeviceName,
        /// The exit status of the process.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The last line of its log file.
        reason: String,
    },
    /// The process runs and does not answer, or does not go.
    #[error("carrick userspace-wireguard {interface} does not {what} within {} s", PATIENCE.as_secs())]
    Late {
        /// The interface.
        interface: DeviceName,
        /// The expected event.
        what: &'static str,
    },
    /// The process cannot be found: it runs in another PID namespace.
    #[error("the process that serves {interface} is not visible from here (another container?): stop it there")]
    Invisible {
        /// The interface.
        interface: DeviceName,
    },
}

impl DetachError {
    /// Whether the process said that it lacks a permission.
    #[must_use]
    pub fn is_not_permitted(&self) -> bool {
        matches!(self, Self::Ended { status, .. } if status.code() == Some(Exit::Permission.code().into()))
    }
}

/// Starts the data path in a new session and waits until its userspace API answers.
///
/// It returns the process id. The process is not stopped with its parent; a supervisor that kills by control group
/// (systemd's default) has to be told so (`KillMode=process`).
///
/// # Errors
/// [`DetachError`].
pub async fn start_detached(start: Detached<'_>) -> Result<Pid, DetachError> {
    let interface = start.interface;
    let log = start.run_dir.join(format!("userspace-wireguard-{interface}.log"));
    let output = open_log(start.run_dir, &log)
        .map_err(|source| DetachError::Io { action: format!("write {}", log.display()), source })?;
    let mut child = spawn(&start, output)
        .map_err(|source| DetachError::Io { action: format!("start {}", start.program.display()), source })?;
    let answered = async {
        loop {
            // The exit is checked first: if another process answers at the socket, this start failed.
            if let Ok(Some(status)) = child.try_wait() {
                return Err(DetachError::Ended {
                    interface: interface.clone(),
                    status,
                    reason: last_line(&log),
                    log: log.clone(),
                });
            }
            let pid = child.id().and_then(|id| i32::try_from(id).ok());
            let server = uapi::server_process(interface);
            if let Some(pid) = pid.map(Pid::from_raw)
                && server == Some(pid)
            {
                return Ok(pid);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let pid = tokio::time::timeout(PATIENCE, answered)
        .await
        .map_err(|_| DetachError::Late { interface: interface.clone(), what: "answer" })??;
    tracing::info!(event = "userspace_wireguard_detached", %interface, %pid, log = %log.display());
    Ok(pid)
}

/// Stops the data path, if one runs, and waits until it is gone. The TUN device stays.
///
/// # Errors
/// [`DetachError::Invisible`], [`DetachError::Late`], or [`DetachError::Io`] when it may not be signalled.
pub async fn stop(interface: &DeviceName) -> Result<(), DetachError> {
    if !uapi::is_answering(interface) {
        return Ok(());
    }
    let pid = uapi::server_process(interface).ok_or_else(|| DetachError::Invisible { interface: interface.clone() })?;
    match kill(pid, Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => {
            return Err(DetachError::Io { action: format!("stop process {pid}"), source: errno.into() });
        }
    }
    let gone = async {
        while uapi::is_answering(interface) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone)
        .await
        .map_err(|_| DetachError::Late { interface: interface.clone(), what: "stop" })?;
    Ok(())
}

fn open_log(run_dir: &Path, log: &Path) -> io::Result<fs::File> {
    fs::create_dir_all(run_dir)?;
    fs::OpenOptions::new().create(true).append(true).mode(0o600).open(log)
}

fn spawn(start: &Detached<'_>, output: fs::File) -> io::Result<Child> {
    Command::new(start.program)
        .arg("userspace-wireguard")
        .arg("--new-session")
        .arg(start.interface.as_str())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(false)
        .spawn()
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or_default().to_owned()
}
