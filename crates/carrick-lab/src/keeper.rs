//! Namespaces with a first process, and the process outside that keeps them.
//!
//! `carrick-lab keep` makes new namespaces and starts their first process, `carrick-lab init`, which
//! ends when its standard input does. So the holder of a [`Keeper`] holds the namespaces' life: when it
//! drops it or dies, the kernel ends every process inside, and with the last one the namespaces.

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

/// How the first process furnishes its namespaces.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Furnishing {
    /// The host name; the machine's own if missing.
    pub hostname: Option<String>,
    /// Directories that differ from the machine's.
    pub directories: Vec<PrivateDirectory>,
}

/// A directory that differs from the machine's own of the same path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PrivateDirectory {
    /// Where it is seen.
    pub path: PathBuf,
    /// What is seen there.
    pub content: Content,
}

/// What is in a private directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Content {
    /// Nothing at first; lost with the namespaces.
    Fresh,
    /// A directory of the machine.
    Of(PathBuf),
}

/// A running set of namespaces; dropping it ends everything inside.
#[derive(Debug)]
pub struct Keeper {
    process: Process,
    life: Option<ChildStdin>,
    namespaces: Namespaces,
}

impl Keeper {
    /// Makes namespaces on this machine, or inside those of `parent`.
    ///
    /// # Errors
    /// The binary is missing, the caller is not root, or the kernel refuses.
    pub fn start(name: &str, furnishing: &Furnishing, parent: Option<&Namespaces>) -> Result<Self> {
        let mut command = Command::new(binaries::find("carrick-lab")?);
        command.arg("keep").arg(serde_json::to_string(furnishing)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = match parent {
            Some(parent) => parent.spawn(&mut command)?,
            None => command.spawn().context("start carrick-lab keep")?,
        };
        let life = process.stdin.take();
        let stdout = process.stdout.take().context("no pipe from carrick-lab keep")?;
        let process = Process::adopt(process)?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.trim_end() != READY {
            drop(life);
            let status = process.wait();
            bail!("{name}: its namespaces could not be made ({status}); the reason is printed above");
        }
        let namespaces = Namespaces::of_process(name, process.pid())?;
        Ok(Self { process, life, namespaces })
    }

    /// The namespaces.
    #[must_use]
    pub const fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The keeping process; it is a member of the namespaces itself, except of the process namespace, which it
    /// has for its children.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// The keeping process's number, as this machine counts.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A path inside, as this machine sees it.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.pid()))
    }

    /// Ends everything inside at once, as a power cut would, and waits until it is gone.
    pub fn cut_power(&mut self) {
        drop(self.life.take());
        let _status = self.process.wait();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.cut_power();
    }
}

/// The body of `carrick-lab keep`: makes the namespaces, starts their first process and waits for it.
///
/// # Errors
/// The caller is not root, or the kernel refuses.
pub fn keep(furnishing: &str) -> Result<()> {
    let kinds =
        CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS;
    unshare(kinds).context("make namespaces (this needs root)")?;
    let this_program = std::env::current_exe().context("find this program")?;
    let status = Command::new(this_program).arg("init").arg(furnishing).status().context("start the first process")?;
    ensure!(status.success(), "the first process ended with {status}");
    Ok(())
}
