//! Processors for groups of nodes, so that clouds do not wait for each other's work.

use std::fs;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::failure::wireguard_process;
use crate::lab::Lab;

/// Binds the running agents and data paths of each group of nodes to a processor of its own. Groups share processors if the machine has
/// fewer processors than there are groups.
///
/// # Errors
/// A node has no agent or no userspace data path, or the kernel refuses.
pub fn separate(lab: &Lab, groups: &[&[&str]]) -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    for (number, group) in groups.iter().enumerate() {
        for node in *group {
            let node = lab.node(node)?;
            let agent = node.agent_pid().with_context(|| format!("{}: no agent runs", node.name()))?;
            bind(Pid::from_raw(agent.cast_signed()), number % processors)?;
            bind(wireguard_process(&node.namespaces()?)?, number % processors)?;
        }
    }
    Ok(())
}

/// Binds all threads of a process, and the threads that these start later.
fn bind(process: Pid, processor: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let thread = thread?.file_name().to_string_lossy().parse().context("the number of a thread")?;
        sched_setaffinity(Pid::from_raw(thread), &set).with_context(|| format!("bind thread {thread}"))?;
    }
    Ok(())
}
