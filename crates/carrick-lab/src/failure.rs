//! Failures of a node, and how each one ends.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;

use crate::lab::Lab;
use crate::namespace::Namespaces;
use crate::network;

/// A failure of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// No packet enters or leaves the node. The node keeps running.
    CutOff,
    /// The node loses its power.
    PowerOff,
    /// The node's userspace WireGuard process is killed. The agent starts another one.
    WireGuardKilled,
}

/// Drops all packets that enter or leave the node, except on the loopback device.
const CUT: &str = "table inet lab-cut {
  chain input { type filter hook prerouting priority -400; policy accept; iifname != \"lo\" drop; }
  chain output { type filter hook postrouting priority 400; policy accept; oifname != \"lo\" drop; }
}";

impl Failure {
    /// All failures.
    pub const ALL: [Self; 3] = [Self::CutOff, Self::PowerOff, Self::WireGuardKilled];

    /// Makes the node fail.
    ///
    /// # Errors
    /// The node is off, or the kernel refuses.
    pub fn inject(self, lab: &mut Lab, node: &str) -> Result<()> {
        match self {
            Self::CutOff => network::nft(&lab.node(node)?.namespaces()?, CUT),
            Self::PowerOff => lab.crash(node),
            Self::WireGuardKilled => {
                let process = wireguard_process(&lab.node(node)?.namespaces()?)?;
                kill(process, Signal::SIGKILL).context("kill the WireGuard process")
            }
        }
    }

    /// Ends the failure.
    ///
    /// # Errors
    /// The node does not come up, or the kernel refuses.
    pub fn undo(self, lab: &mut Lab, node: &str) -> Result<()> {
        match self {
            Self::CutOff => network::nft(&lab.node(node)?.namespaces()?, "delete table inet lab-cut"),
            Self::PowerOff => {
                lab.boot(node)?;
                lab.start(node)?;
                lab.node(node)?.await_agent()
            }
            Self::WireGuardKilled => Ok(()),
        }
    }
}

/// The PID on this machine of a node's userspace WireGuard process.
///
/// # Errors
/// No such process runs.
pub fn wireguard_process(node: &Namespaces) -> Result<Pid> {
    let network_of = |pid: &str| std::fs::metadata(format!("/proc/{pid}/ns/net")).map(|network| network.ino());
    let here = node.network_inode()?;
    let processes = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_wireguard = |pid: &String| {
        let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command_line.split(|byte| *byte == 0).nth(1) == Some(b"userspace-wireguard")
            && network_of(pid).is_ok_and(|network| network == here)
    };
    let found = processes.filter(|name| name.parse::<i32>().is_ok()).find(is_wireguard);
    let found = found.context("no process of a userspace WireGuard runs on the node")?;
    Ok(Pid::from_raw(found.parse()?))
}
