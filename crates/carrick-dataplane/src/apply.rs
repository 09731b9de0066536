//! Carrying operations out: in order, in few system calls, and past the ones that fail.

mod network;
mod peers;

pub(crate) use network::NetworkExecutor;
pub(crate) use peers::{AllowedIpRemoval, PeerExecutor};

use crate::operation::Operation;
use crate::wireguard::WireGuardError;

/// An operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {cause}")]
pub struct Failure {
    /// What was to be done.
    pub operation: Operation,
    /// Why it could not be.
    #[source]
    pub cause: FailureCause,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum FailureCause {
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] carrick_netlink::Error),
    /// WireGuard refused, or does not answer.
    #[error(transparent)]
    WireGuard(#[from] WireGuardError),
    /// The setting cannot be written.
    #[error(transparent)]
    Sysctl(#[from] std::io::Error),
}

/// Who carries operations out.
pub(crate) struct Executor<'a> {
    pub(crate) network: NetworkExecutor<'a>,
    pub(crate) peers: PeerExecutor<'a>,
}

/// The subsystem that an operation talks to; consecutive operations of one go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subsystem {
    Sysctl,
    /// Makes or removes a device, so that numbers of devices change.
    Devices,
    Route,
    WireGuard,
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

/// Has consecutive operations of one subsystem carried out together.
fn in_runs(
    operations: &[Operation],
    mut carry_out: impl FnMut(Subsystem, &[Operation]) -> Vec<Result<(), FailureCause>>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    for run in operations.chunk_by(|a, b| subsystem(a) == subsystem(b)) {
        let Some(first) = run.first() else { continue };
        let results = carry_out(subsystem(first), run);
        failures.extend(run.iter().zip(results).filter_map(|(operation, result)| {
            result.err().map(|cause| Failure { operation: operation.clone(), cause })
        }));
    }
    failures
}

fn subsystem(operation: &Operation) -> Subsystem {
    match operation {
        Operation::SetSysctl(_) => Subsystem::Sysctl,
        Operation::DeleteDevice(_) | Operation::CreateWireGuard { .. } | Operation::CreateVxlan { .. } => {
            Subsystem::Devices
        }
        Operation::ConfigureWireGuard(_)
        | Operation::SetPeer(_)
        | Operation::RemoveAllowedIps { .. }
        | Operation::RemovePeer(_) => Subsystem::WireGuard,
        Operation::SetMtu { .. }
        | Operation::SetMac { .. }
        | Operation::SetUp(_)
        | Operation::AddAddress(..)
        | Operation::RemoveAddress(..)
        | Operation::SetNeighbour(..)
        | Operation::RemoveNeighbour(..)
        | Operation::SetForwarding(..)
        | Operation::RemoveForwarding(..)
        | Operation::SetRoute(_)
        | Operation::RemoveRoute(_)
        | Operation::AddRule(_)
        | Operation::RemoveRule(_) => Subsystem::Route,
    }
}
