//! Sets of new namespaces, each with a supervisor process outside and a first process inside.
//!
//! `carrick-lab supervise` makes new namespaces and starts their first process, `carrick-lab init`. The first process ends when
//! its standard input ends, and the owner of a [`Supervisor`] holds the other end of that pipe. When the owner drops the
//! [`Supervisor`] or dies, the kernel ends every process inside, and the namespaces end with the last process.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use crate::binaries;
use crate::namespace::Namespaces;
use crate::process::Process;

/// What the first process prints when the namespaces are ready.
pub const READY: &str = "ready";

/// How the first process sets up its namespaces.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct NamespaceSetup {
    /// The host name; the machine's own if missing.
    pub hostname: Option<String>,
    /// Directories that differ from the machine's.
    pub directories: Vec<PrivateDirectory>,
}

/// A directory that differs from the machine's own directory of the same path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PrivateDirectory {
    /// The path inside the namespaces.
    pub path: PathBuf,
    /// What the directory contains.
    pub content: Content,
}

/// What a private directory contains.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Content {
    /// An empty file system in memory, which ends with the namespaces.
    Empty,
    /// A directory of the machine.
    HostDirectory(PathBuf),
}

/// A running set of namespaces. Dropping it ends every process inside.
#[derive(Debug)]
pub struct Supervisor {
    process: Process,
    lifeline: Option<ChildStdin>,
    namespaces: Namespaces,
}

impl Supervisor {
    /// Makes namespaces on this machine, or inside the namespaces of `parent`.
    ///
    /// # Errors
    /// The binary is missing, the caller is not root, or the kernel refuses.
    pub fn start(name: &str, setup: &NamespaceSetup, parent: Option<&Namespaces>) -> Result<Self> {
        let mut command = Command::new(binaries::find("carrick-lab")?);
        command.arg("supervise").arg(serde_json::to_string(setup)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = match parent {
            Some(parent) => parent.spawn(&mut command)?,
            None => command.spawn().context("start carrick-lab supervise")?,
        };
        let lifeline = process.stdin.take();
        let stdout = process.stdout.take().context("no pipe from carrick-lab supervise")?;
        let process = Process::adopt(process)?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim_end() != READY {
            drop(lifeline);
            let status = process.wait();
            bail!("{name}: the namespaces could not be made ({status}); the reason is printed above");
        }
        let namespaces = Namespaces::of_process(name, process.pid())?;
        Ok(Self { process, lifeline, namespaces })
    }

    /// The namespaces.
    #[must_use]
    pub const fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The supervisor process. It is in all of the namespaces except the PID namespace, which it has for its children.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// The supervisor's PID on this machine.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The path on this machine of a path inside the namespaces.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid()))
    }

    /// Ends every process inside at once, as a power cut does, and waits until they have ended.
    pub fn cut_power(&mut self) {
        drop(self.lifeline.take());
        let _status = self.process.wait();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.cut_power();
    }
}

/// The body of `carrick-lab supervise`: makes the namespaces, starts their first process and waits for its end.
///
/// # Errors
/// The caller is not root, or the kernel refuses.
pub fn supervise(setup: &str) -> Result<()> {
    let kinds =
        CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    unshare(kinds).context("make namespaces (this needs root)")?;
    let this_program = std::env::current_exe().context("find this program")?;
    let status = Command::new(this_program).arg("init").arg(setup).status().context("start the first process")?;
    ensure!(status.success(), "the first process ended with {status}");
    Ok(())
}
