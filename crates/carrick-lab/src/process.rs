//! A process that outlives the call that started it, and that is reaped as soon as it ends.
//!
//! The first process of a PID namespace cannot end before every process inside is reaped (`pid_namespaces(7)`), those with a parent
//! outside included. An unreaped process of a node's program would therefore keep the node from crashing.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::namespace::Namespaces;

/// A handle of a process that runs or has ended. Dropping it has no effect on the process.
#[derive(Debug, Clone)]
pub struct Process {
    pid: Pid,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    ended: Mutex<Option<ExitStatus>>,
    announced: Condvar,
}

impl Process {
    /// Takes over a child process.
    ///
    /// # Errors
    /// The PID is out of range.
    pub fn adopt(child: Child) -> Result<Self> {
        let process = Self {
            pid: Pid::from_raw(i32::try_from(child.id())?),
            state: Arc::new(State { ended: Mutex::new(None), announced: Condvar::new() }),
        };
        let (pid, state) = (process.pid, process.state.clone());
        std::thread::spawn(move || state.reap(pid, child));
        Ok(process)
    }

    /// Starts a process inside namespaces and appends its output to a file of this machine.
    ///
    /// # Errors
    /// The file cannot be opened, the namespaces cannot be entered, or the program cannot be started.
    pub fn start_with_log(inside: &Namespaces, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("open {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        Self::adopt(inside.spawn(command)?)
    }

    /// The PID on this machine.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// The exit status, if the process has ended.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        *self.state.ended()
    }

    /// Sends a signal. It has no effect on a process that has ended.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let ended = self.state.ended();
        if ended.is_none() {
            kill(self.pid, signal).with_context(|| format!("send {signal} to process {}", self.pid))?;
        }
        Ok(())
    }

    /// Waits until the process has ended.
    #[must_use]
    pub fn wait(&self) -> ExitStatus {
        let mut ended = self.state.ended();
        loop {
            if let Some(status) = *ended {
                return status;
            }
            ended = self.state.announced.wait(ended).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl State {
    fn ended(&self) -> MutexGuard<'_, Option<ExitStatus>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of the process and reaps it under the lock, so that no signal goes to another process with the same PID.
    fn reap(&self, pid: Pid, mut child: Child) {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let mut ended = self.ended();
        *ended = child.wait().ok();
        drop(ended);
        self.announced.notify_all();
    }
}
