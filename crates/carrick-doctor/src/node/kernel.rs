//! What the kernel holds of Carrick's.

use carrick_status::WireGuardState;

use super::Subject;
use crate::finding::listed;
use crate::{Check, Finding};

/// The kernel holds the plan.
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
        "ask again: the agent puts right what it can; if it stays, find who writes there (drift_repaired in the agent's log)",
    )]
}

/// The WireGuard device is there and answers.
pub(super) fn wireguard_device(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(plan) = subject.plan() else { return Vec::new() };
    let device = &plan.wireguard.device;
    let text = match &subject.checks.wireguard {
        WireGuardState::Unplanned | WireGuardState::Present(_) => return Vec::new(),
        WireGuardState::Missing => format!("there is no device {device}: nothing passes between locations"),
        WireGuardState::Unreadable(reason) => format!("the data path of {device} does not answer: {reason}"),
    };
    let remedy = format!("start `carrick userspace-wireguard {device}` again, or load the kernel module wireguard");
    vec![Finding::problem(Check::WireguardDevice, text, remedy)]
}

/// WireGuard has its port, and has it alone.
pub(super) fn wireguard_port(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(plan) = subject.plan() else { return Vec::new() };
    let port = plan.wireguard.port;
    let rivals = &subject.checks.conflicting_devices;
    let besides: Vec<_> = subject.checks.listeners.iter().filter(|listener| !listener.ip().is_unspecified()).collect();
    let text = if !rivals.is_empty() {
        format!("the WireGuard device {} listens on UDP {port} too", listed(rivals))
    } else if is_port_taken(subject) {
        let own = subject.checks.wireguard_device().map_or(0, |device| device.port);
        format!("somebody else has UDP {port}: {} listens on {own} instead", plan.wireguard.device)
    } else if !besides.is_empty() {
        format!("somebody else listens on {} and takes WireGuard's packets", listed(besides))
    } else {
        return Vec::new();
    };
    vec![Finding::problem(
        Check::WireguardPort,
        text,
        format!("end it (`ss -ulnp sport = :{port}` names it), or give all agents another --port"),
    )]
}

/// Whether WireGuard listens elsewhere because the port is somebody else's.
fn is_port_taken(subject: &Subject<'_>) -> bool {
    let wanted = subject.plan().map(|plan| plan.wireguard.port);
    let own = subject.checks.wireguard_device().map(|device| device.port);
    own.is_some() && own != wanted && !subject.checks.listeners.is_empty()
}

#[cfg(test)]
mod tests {
    use carrick_status::WireGuardState;

    use crate::fixtures::diagnosed;

    #[test]
    fn a_kernel_that_differs_is_told_with_what_differs_and_why_it_stays_so() {
        let found = diagnosed(|mesh| {
            mesh.checks("a1").drift = vec!["set route 10.42.1.0/24".to_owned()];
            mesh.status("a1").failures = vec!["set route: not permitted".to_owned()];
        });
        assert!(found.problems().contains(&"kernel-state a1".to_owned()));
        assert!(found.texts().contains("set route 10.42.1.0/24; the last attempt failed: set route: not permitted"));
    }

    #[test]
    fn a_device_that_is_missing_or_silent_is_told_once() {
        for state in [WireGuardState::Missing, WireGuardState::Unreadable("no answer".to_owned())] {
            let found = diagnosed(|mesh| mesh.checks("a1").wireguard = state);
            assert_eq!(found.problems(), ["wireguard-device a1"]);
        }
    }

    #[test]
    fn a_port_is_taken_by_a_process_by_a_device_or_for_one_address() {
        let taken = diagnosed(|mesh| {
            mesh.device("a1").port = 40_000;
            mesh.checks("a1").listeners = ["0.0.0.0:51820".parse().unwrap()].into();
            mesh.checks("a1").drift = vec!["configure WireGuard device: port 51820".to_owned()];
        });
        assert_eq!(taken.problems(), ["wireguard-port a1"]);
        let device = diagnosed(|mesh| mesh.checks("a1").conflicting_devices = ["wg0".to_owned()].into());
        assert_eq!(device.problems(), ["wireguard-port a1"]);
        let beside = diagnosed(|mesh| {
            mesh.checks("a1").listeners = ["0.0.0.0:51820", "10.10.0.2:51820"].map(|it| it.parse().unwrap()).into();
        });
        assert!(beside.texts().contains("listens on 10.10.0.2:51820"));
        let own = diagnosed(|mesh| {
            mesh.checks("a1").listeners = ["0.0.0.0:51820", "[::]:51820"].map(|it| it.parse().unwrap()).into();
        });
        assert_eq!(own.problems(), [""; 0]);
    }
}
