//! What pods need on their node.

use super::subject::Subject;
use crate::finding::listed;
use crate::{Check, Finding};

/// The container runtime uses Carrick's configuration: no other file sorts before it.
pub(super) fn cni_configuration(subject: &Subject<'_>) -> Vec<Finding> {
    let Some(directory) = &subject.checks.cni else { return Vec::new() };
    let before: Vec<&String> = directory.configurations.range(..directory.own.clone()).collect();
    if !before.is_empty() {
        let files = before.iter().map(|name| format!("{}/{name}", directory.path));
        return vec![Finding::problem(
            Check::CniConfiguration,
            format!(
                "{} sorts before {}: the container runtime does not connect new pods to the mesh",
                listed(files),
                directory.own
            ),
            format!("remove {}, and delete the pods that started since", listed(before)),
        )];
    }
    let is_ready = subject.status.ready && subject.plan().is_some_and(|plan| !plan.pod_cidrs.is_empty());
    if is_ready && !directory.configurations.contains(&directory.own) {
        return vec![Finding::problem(
            Check::CniConfiguration,
            format!("{}/{} does not exist: this node starts no pods", directory.path, directory.own),
            "restart the agent, which writes the file; if it cannot, its log contains the reason (pod_network_not_written)",
        )];
    }
    Vec::new()
}

/// The pods' gateways are as the CNI plugin configured them.
pub(super) fn pod_gateway(subject: &Subject<'_>) -> Vec<Finding> {
    let faults = &subject.checks.pod_gateways;
    if faults.is_empty() {
        return Vec::new();
    }
    let details = faults.iter().map(|fault| format!("{} ({}: {})", fault.pod, fault.device, fault.fault));
    let pods = faults.iter().map(|fault| &fault.pod);
    vec![Finding::problem(
        Check::PodGateway,
        format!("the gateways of these pods are not as configured: {}", listed(details)),
        format!(
            "delete {}, so that Kubernetes starts them again, and keep other programs off crk* devices",
            listed(pods)
        ),
    )]
}

#[cfg(test)]
mod tests {
    use carrick_status::{CniDirectory, PodGatewayFault};

    use crate::fixtures::diagnosed;

    fn directory(configurations: &[&str]) -> CniDirectory {
        CniDirectory {
            path: "/etc/cni/net.d".to_owned(),
            own: "10-carrick.conflist".to_owned(),
            configurations: configurations.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn only_a_configuration_that_sorts_before_carricks_is_a_problem() {
        let with = |configurations: &[&str]| diagnosed(|mesh| mesh.checks("b1").cni = Some(directory(configurations)));
        let found = with(&["05-old.conflist", "10-carrick.conflist", "99-loopback.conf"]);
        assert_eq!(found.problems(), ["cni-configuration b1"]);
        assert!(found.texts().contains("/etc/cni/net.d/05-old.conflist sorts before"));
        assert!(!found.texts().contains("loopback"));
        assert_eq!(with(&["10-carrick.conflist", "99-loopback.conf"]).problems(), [""; 0]);
        assert_eq!(with(&[]).problems(), ["cni-configuration b1"]);
    }

    #[test]
    fn pods_with_a_changed_gateway_are_named() {
        let fault = PodGatewayFault {
            pod: "default/web".to_owned(),
            device: "crk0123456789a".to_owned(),
            fault: "is down".to_owned(),
        };
        let found = diagnosed(|mesh| mesh.checks("a1").pod_gateways = vec![fault]);
        assert_eq!(found.problems(), ["pod-gateway a1"]);
        assert!(found.texts().contains("default/web (crk0123456789a: is down)"));
    }
}
