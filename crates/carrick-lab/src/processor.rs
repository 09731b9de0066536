//! Which processor works for which node: clouds do not wait for each other's work.

use std::fs;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::Lab;
use crate::failure::wireguard_process;

/// Gives each of these groups of nodes a processor of its own, as far as the machine has so many: their agents and data paths, as they
/// run now.
///
/// # Errors
/// A node has no agent or no userspace data path, or the kernel refuses.
pub fn separate(lab: &Lab, groups: &[&[&str]]) -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    for (number, group) in groups.iter().enumerate() {
        for node in *group {
            let node = lab.node(node)?;
            let agent = node.agent_pid().context("its agent does not run")?;
            bind(Pid::from_raw(agent.cast_signed()), number % processors)?;
            bind(wireguard_process(&node.namespaces()?)?, number % processors)?;
        }
    }
    Ok(())
}

/// Binds all threads of a process, and those that they start from now on.
fn bind(process: Pid, processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.file_name().to_string_lossy().parse().context("the number of a thread")?;
        sched_setaffinity(Pid::from_raw(thread), &set).with_context(|| format!("bind thread {thread}"))?;
    }
    Ok(())
}
