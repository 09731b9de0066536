//! The faults that follow from the result of an apply.

use std::collections::BTreeSet;

use carrick_core::Fault;
use carrick_dataplane::firewall::Certainty;
use carrick_dataplane::{Applied, ApplyFailure, Awaited, Operation};
use carrick_topology::DeviceName;

/// What an apply could not do, as faults of the node.
pub(super) fn faults_of(applied: &Applied, wireguard: &DeviceName) -> BTreeSet<Fault> {
    let waiting = applied.waiting_for.iter().map(|awaited| match awaited {
        Awaited::Process(_) => Fault::DeviceMissing(description(awaited)),
        Awaited::Answer(device) => Fault::DeviceSilent(device.clone()),
    });
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
pub(super) fn description(awaited: &Awaited) -> String {
    match awaited {
        Awaited::Process(device) => {
            format!("wait for device {device}: `carrick userspace-wireguard {device}` does not run")
        }
        Awaited::Answer(device) => {
            format!("wait for device {device}: `carrick userspace-wireguard {device}` does not answer")
        }
    }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use carrick_dataplane::Phases;
    use carrick_status::FaultKind;
    use carrick_topology::handover::HandoverInForce;

    use super::*;

    #[test]
    fn a_process_that_hangs_is_another_fault_than_one_that_does_not_run() {
        let device: DeviceName = "carrick0".parse().unwrap();
        let faults = |awaited| {
            let applied = Applied {
                operations: 0,
                changes: Vec::new(),
                failures: Vec::new(),
                waiting_for: Some(awaited),
                sightings: None,
                handover: HandoverInForce::default(),
                locked_chains: BTreeMap::new(),
                phases: Phases::default(),
            };
            faults_of(&applied, &device).iter().map(Fault::kind).collect::<Vec<_>>()
        };
        assert_eq!(faults(Awaited::Answer(device.clone())), [FaultKind::DeviceSilent]);
        assert_eq!(faults(Awaited::Process(device.clone())), [FaultKind::DeviceMissing]);
    }
}
