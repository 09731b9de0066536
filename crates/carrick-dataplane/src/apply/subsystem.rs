//! Which operations go to the kernel together.

use super::failure::{Failure, FailureCause};
use crate::operation::Operation;

/// The subsystem that an operation talks to; consecutive operations of one go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subsystem {
    Sysctl,
    /// Creates or removes a device, so that numbers of devices change.
    Devices,
    Route,
    WireGuard,
}

/// Carries out consecutive operations of one subsystem together.
pub(super) fn in_runs(
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
