//! The faults that follow from the result of an apply.

use std::collections::BTreeSet;

use carrick_core::Fault;
use carrick_dataplane::firewall::Certainty;
use carrick_dataplane::{Applied, ApplyFailure, Operation};
use carrick_topology::DeviceName;

/// What an apply could not do, as faults of the node.
pub(super) fn faults_of(applied: &Applied, wireguard: &DeviceName) -> BTreeSet<Fault> {
    let waiting = applied.waiting_for.iter().map(|device| Fault::DeviceMissing(missing_process(device)));
    let locked = applied.locked_chains.iter().map(|(chain, locked)| {
        let (chain, reason) = (chain.clone(), locked.reason.clone());
        match locked.certainty {
            Certainty::Certain => Fault::ForwardChainDrops { chain, reason },
            Certainty::Undecided => Fault::ForwardChainLocked { chain, reason },
        }
    });
    let mut faults: BTreeSet<Fault> = waiting.chain(locked).collect();
    let mut first_refusal = None;
    for failure in &applied.failures {
        match fault_of(failure, wireguard) {
            Some(fault) => drop(faults.insert(fault)),
            None => drop(first_refusal.get_or_insert(failure)),
        }
    }
    faults.extend(first_refusal.map(|failure| Fault::KernelRefuses(failure.to_string())));
    faults
}

/// What the agent waits for where another process makes the device.
pub(super) fn missing_process(device: &DeviceName) -> String {
    format!("wait for device {device}: `carrick userspace-wireguard {device}` does not run")
}

/// A failure that only this node can have and that stops packets of its pods. A peer, a route or a rule that the kernel refuses can be one
/// that all nodes have.
fn fault_of(failure: &ApplyFailure, wireguard: &DeviceName) -> Option<Fault> {
    let ApplyFailure::Operation(failure) = failure else { return None };
    match &failure.operation {
        Operation::CreateWireGuard { .. } | Operation::ConfigureWireGuard(_) => {
            Some(Fault::DeviceMissing(failure.to_string()))
        }
        Operation::SetUp(device) if device == wireguard => Some(Fault::DeviceMissing(failure.to_string())),
        Operation::SetSysctl(sysctl) => {
            Some(Fault::ForwardingOff(sysctl.forwarding_family()?, failure.cause.to_string()))
        }
        _ => None,
    }
}
