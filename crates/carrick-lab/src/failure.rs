//! Ways in which a gateway fails, and how it comes back.

use std::os::unix::fs::MetadataExt as _;

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;

use crate::Lab;
use crate::namespace::Namespaces;
use crate::network;

/// A way to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// Nothing goes into the node or out of it any more; the node itself goes on.
    CutOff,
    /// The node's power is gone.
    PowerOff,
    /// Its WireGuard process is killed; its agent starts another one.
    WireGuardKilled,
}

/// Drops all that enters or leaves the node, but on its loopback device.
const CUT: &str = "table inet lab-cut {
  chain input { type filter hook prerouting priority -400; policy accept; iifname != \"lo\" drop; }
  chain output { type filter hook postrouting priority 400; policy accept; oifname != \"lo\" drop; }
}";

impl Failure {
    /// All of them.
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

    /// Brings the node back.
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

/// The process of a node's userspace WireGuard, as this machine numbers it.
///
/// # Errors
/// There is none.
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
