//! Carrick's objects in the kernel.

use carrick_status::{REPEATED_DRIFT_REMEDY, WireGuardState, describe_repeated_drift};

use super::subject::Subject;
use crate::finding::listed;
use crate::{Check, Finding};

/// The kernel matches the plan.
pub(super) fn kernel_state(subject: &Subject<'_>) -> Vec<Finding> {
    let drift = &subject.checks.drift;
    if drift.is_empty() || is_port_taken(subject) {
        return Vec::new();
    }
    let failed = match subject.status.failures.first() {
        Some(failure) => format!("; the last attempt failed: {failure}"),
        None => String::new(),
    };
    vec![Finding::problem(
        Check::KernelState,
        format!("the kernel differs from the plan: {}{failed}", listed(drift)),
        "run the check again, because the agent repairs most differences; if it stays, find the program that changes the kernel (drift_repaired in the agent's log)",
    )]
}

/// No other program writes what the agent writes.
pub(super) fn repeated_drift(subject: &Subject<'_>) -> Vec<Finding> {
    let text = describe_repeated_drift(&subject.status.repeated_drift);
    text.map(|text| Finding::warning(Check::KernelState, text, REPEATED_DRIFT_REMEDY)).into_iter().collect()
}

/// The WireGuard device exists and answers.
pub(super) fn wireguard_device(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(plan) = subject.plan() else { return Vec::new() };
    let device = &plan.wireguard.device;
    let text = match &subject.checks.wireguard {
        WireGuardState::Unplanned | WireGuardState::Present(_) => return Vec::new(),
        WireGuardState::Missing => {
            format!("the device {device} does not exist: no packets pass through the tunnels of this node")
        }
        WireGuardState::Unreadable(reason) => format!("the data path of {device} does not answer: {reason}"),
    };
    let remedy = format!("restart `carrick userspace-wireguard {device}`, or load the kernel module wireguard");
    vec![Finding::problem(Check::WireguardDevice, text, remedy)]
}

/// WireGuard listens on its port, and no other program does.
pub(super) fn wireguard_port(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(plan) = subject.plan() else { return Vec::new() };
    let port = plan.wireguard.port;
    let conflicting = &subject.checks.conflicting_devices;
    let specific: Vec<_> = subject.checks.listeners.iter().filter(|listener| !listener.ip().is_unspecified()).collect();
    let text = if !conflicting.is_empty() {
        format!("the WireGuard device {} also listens on UDP {port}", listed(conflicting))
    } else if is_port_taken(subject) {
        let own = subject.checks.wireguard_device().map_or(0, |device| device.port);
        format!("another program uses UDP {port}: {} listens on {own} instead", plan.wireguard.device)
    } else if !specific.is_empty() {
        format!("another program listens on {} and receives WireGuard's packets", listed(specific))
    } else {
        return Vec::new();
    };
    vec![Finding::problem(
        Check::WireguardPort,
        text,
        format!("stop it (`ss -ulnp sport = :{port}` names it), or give all agents another --port"),
    )]
}

/// Whether WireGuard listens on another port because another program uses the planned one.
fn is_port_taken(subject: &Subject<'_>) -> bool {
    let planned = subject.plan().map(|plan| plan.wireguard.port);
    let own = subject.checks.wireguard_device().map(|device| device.port);
    own.is_some() && own != planned && !subject.checks.listeners.is_empty()
}

#[cfg(test)]
mod tests {
    use carrick_status::WireGuardState;

    use crate::fixtures::diagnosed;

    #[test]
    fn a_difference_is_reported_with_the_failure_that_keeps_it() {
        let found = diagnosed(|mesh| {
            mesh.checks("a1").drift = vec!["set route 10.42.1.0/24".to_owned()];
            mesh.status("a1").failures = vec!["set route: not permitted".to_owned()];
        });
        assert!(found.problems().contains(&"kernel-state a1".to_owned()));
        assert!(found.texts().contains("set route 10.42.1.0/24; the last attempt failed: set route: not permitted"));
    }

    #[test]
    fn what_another_program_writes_again_and_again_is_a_warning() {
        let found = diagnosed(|mesh| {
            mesh.status("a1").repeated_drift = [("set net/ipv4/ip_forward to 1".to_owned(), 17)].into();
        });
        assert_eq!(found.warnings(), ["kernel-state a1"]);
        assert!(found.texts().contains("set net/ipv4/ip_forward to 1 (17 times)"));
    }

    #[test]
    fn a_missing_or_unreadable_device_is_one_problem() {
        for state in [WireGuardState::Missing, WireGuardState::Unreadable("no answer".to_owned())] {
            let found = diagnosed(|mesh| mesh.checks("a1").wireguard = state);
            assert_eq!(found.problems(), ["wireguard-device a1"]);
        }
    }

    #[test]
    fn a_port_is_taken_by_a_process_by_a_device_or_on_one_address() {
        let taken = diagnosed(|mesh| {
            mesh.device("a1").port = 40_000;
            mesh.checks("a1").listeners = ["0.0.0.0:51820".parse().unwrap()].into();
            mesh.checks("a1").drift = vec!["configure WireGuard device: port 51820".to_owned()];
        });
        assert_eq!(taken.problems(), ["wireguard-port a1"]);
        let device = diagnosed(|mesh| mesh.checks("a1").conflicting_devices = ["wg0".to_owned()].into());
        assert_eq!(device.problems(), ["wireguard-port a1"]);
        let specific = diagnosed(|mesh| {
            mesh.checks("a1").listeners = ["0.0.0.0:51820", "10.10.0.2:51820"].map(|it| it.parse().unwrap()).into();
        });
        assert!(specific.texts().contains("listens on 10.10.0.2:51820"));
        let own = diagnosed(|mesh| {
            mesh.checks("a1").listeners = ["0.0.0.0:51820", "[::]:51820"].map(|it| it.parse().unwrap()).into();
        });
        assert_eq!(own.problems(), [""; 0]);
    }
}
