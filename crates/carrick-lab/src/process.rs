//! A process that outlives the call that started it, and is reaped as soon as it ends.
//!
//! The first process of a process namespace cannot end before every process inside is reaped
//! (`pid_namespaces(7)`), also those whose parent is outside. So a node could not crash while somebody holds
//! the unreaped process of one of its programs.

use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// A handle of a running or ended process; dropping it changes nothing.
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
    /// Takes over a child.
    ///
    /// # Errors
    /// Its number is none that the kernel gives.
    pub fn adopt(child: Child) -> Result<Self> {
        let process = Self {
            pid: Pid::from_raw(i32::try_from(child.id())?),
            state: Arc::new(State { ended: Mutex::new(None), announced: Condvar::new() }),
        };
        let (pid, state) = (process.pid, process.state.clone());
        std::thread::spawn(move || state.reap(pid, child));
        Ok(process)
    }

    /// Its number, as this machine counts.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn status(&self) -> Option<ExitStatus> {
        *self.state.ended()
    }

    /// Sends it a signal; does nothing if it has ended.
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

    /// Waits for its end.
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

    /// The number stays taken until the lock is held, so that no signal goes to another process.
    fn reap(&self, pid: Pid, mut child: Child) {
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
        let mut ended = self.ended();
        *ended = child.wait().ok();
        drop(ended);
        self.announced.notify_all();
    }
}
