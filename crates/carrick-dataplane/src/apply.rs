//! Carrying operations out: in order, in few system calls, and past the ones that fail.

mod failure;
mod network;
mod peers;
mod subsystem;

pub use failure::{Failure, FailureCause};
pub(crate) use network::NetworkExecutor;
pub(crate) use peers::{AllowedIpRemoval, PeerExecutor};

use crate::operation::Operation;
use subsystem::{Subsystem, in_runs};

/// Carries operations out.
pub(crate) struct Executor<'a> {
    pub(crate) network: NetworkExecutor<'a>,
    pub(crate) peers: PeerExecutor<'a>,
}

impl Executor<'_> {
    /// Carries out all operations; returns those that failed.
    pub(crate) fn apply(&mut self, operations: &[Operation]) -> Vec<Failure> {
        in_runs(operations, |subsystem, run| match subsystem {
            Subsystem::WireGuard => self.peers.carry_out(run),
            Subsystem::Sysctl | Subsystem::Devices | Subsystem::Route => self.network.carry_out(subsystem, run),
        })
    }
}
