//! The faults that the agents report themselves.

use carrick_probe::PathState;
use carrick_status::{FaultKind, FaultReport, FaultSeverity, StatusPage};

use super::probes::share_no_network;
use crate::{Check, Finding, Observations};

/// Every agent is ready and reports no fault but [`consequences`]. The text is the agent's, as in `/readyz` and in its Event.
pub(super) fn faults(observations: &Observations) -> Vec<Finding> {
    let found = observations.answered().flat_map(|(node, pages)| {
        let own = |fault: &&FaultReport| !is_of_cluster(fault) && !is_consequence(fault);
        let reported = pages.status.faults.iter().filter(own).map(finding);
        reported.chain(silent(&pages.status)).map(|finding| finding.on(node)).collect::<Vec<_>>()
    });
    found.collect()
}

/// The faults that another problem of the node explains, if there is one. Nodes that share no network have a finding of their own.
pub(super) fn consequences(observations: &Observations) -> impl Iterator<Item = Finding> {
    observations.answered().flat_map(|(node, pages)| {
        let down: Vec<_> = pages.status.paths.iter().filter(|path| path.state == PathState::Down).collect();
        let is_explained = !down.is_empty() && down.iter().all(|path| share_no_network(observations, node, &path.to));
        let unexplained = pages.status.faults.iter().filter(move |fault| is_consequence(fault) && !is_explained);
        unexplained.map(|fault| finding(fault).on(node))
    })
}

fn is_consequence(fault: &FaultReport) -> bool {
    fault.known_kind().map(weight) == Some(Weight::Consequence)
}

/// The check of the admission policies reports these once for all nodes.
fn is_of_cluster(fault: &FaultReport) -> bool {
    fault.known_kind().map(weight) == Some(Weight::OfCluster)
}

fn finding(fault: &FaultReport) -> Finding {
    let kind = fault.known_kind();
    let check = kind.map_or(Check::AgentReady, check);
    let (text, remedy) = (fault.text.as_str(), fault.remedy.as_str());
    match (fault.severity, kind.map(weight)) {
        (FaultSeverity::NotReady, _) | (FaultSeverity::Warning, Some(Weight::Problem | Weight::Consequence)) => {
            Finding::problem(check, text, remedy)
        }
        (FaultSeverity::Warning, Some(Weight::Warning | Weight::OfCluster) | None) => {
            Finding::warning(check, text, remedy)
        }
    }
}

/// An agent that is not ready and reports no fault starts, or is of an earlier version, which names one thing that it waits for.
fn silent(status: &StatusPage) -> Option<Finding> {
    let says_nothing = status.faults.is_empty() && (!status.ready || !status.waiting.is_empty());
    says_nothing.then(|| {
        let text = match (status.failures.first(), status.waiting.as_str()) {
            (Some(failure), _) => format!("the agent could not apply the plan: {failure}"),
            (None, "") => "the agent is starting".to_owned(),
            (None, waiting) => format!("the agent is {waiting}"),
        };
        Finding::problem(Check::AgentReady, text, "check the agent's log")
    })
}

/// What a fault counts as where the node stays ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// Something does not work.
    Problem,
    /// Something may not work.
    Warning,
    /// It follows from another problem of the node, if there is one.
    Consequence,
    /// All nodes have it.
    OfCluster,
}

const fn weight(kind: FaultKind) -> Weight {
    match kind {
        FaultKind::ClusterUnknown
        | FaultKind::NodeMissing
        | FaultKind::PodCidrMissing
        | FaultKind::DeviceMissing
        | FaultKind::DeviceSilent
        | FaultKind::ForwardingOff
        | FaultKind::ForwardChainDrops
        | FaultKind::KernelRefuses
        | FaultKind::PodFilesNotWritten
        | FaultKind::PodRoutesNotRestored
        | FaultKind::PodFirewallNotRestored
        | FaultKind::StateNotWritten
        | FaultKind::ApiLost
        | FaultKind::ProbePortTaken
        | FaultKind::WriteRefused
        | FaultKind::AnnotationsOverwritten => Weight::Problem,
        FaultKind::NotAccepted | FaultKind::NotApplied | FaultKind::ForwardChainLocked => Weight::Warning,
        FaultKind::AllNodesSilent => Weight::Consequence,
        FaultKind::PolicyMissing => Weight::OfCluster,
    }
}

/// The check that a fault belongs to.
const fn check(kind: FaultKind) -> Check {
    match kind {
        FaultKind::DeviceMissing | FaultKind::DeviceSilent => Check::WireguardDevice,
        FaultKind::ForwardingOff => Check::IpForwarding,
        FaultKind::ForwardChainDrops | FaultKind::ForwardChainLocked => Check::ForwardPolicy,
        FaultKind::ApiLost => Check::ApiServer,
        FaultKind::KernelRefuses | FaultKind::PodFirewallNotRestored => Check::KernelState,
        FaultKind::PodRoutesNotRestored => Check::PodGateway,
        FaultKind::PodFilesNotWritten => Check::CniConfiguration,
        FaultKind::ProbePortTaken => Check::ProbePort,
        FaultKind::AllNodesSilent => Check::UdpReachability,
        FaultKind::ClusterUnknown
        | FaultKind::NodeMissing
        | FaultKind::NotAccepted
        | FaultKind::NotApplied
        | FaultKind::PodCidrMissing
        | FaultKind::StateNotWritten
        | FaultKind::WriteRefused
        | FaultKind::AnnotationsOverwritten
        | FaultKind::PolicyMissing => Check::AgentReady,
    }
}

#[cfg(test)]
mod tests {
    use carrick_status::{CniDirectory, FaultReport, FaultSeverity, StatusPage, WireGuardState};

    use carrick_probe::{PathKind, PathState, ProbedPath};
    use carrick_topology::{ObjectName, Warning, WarningReason};

    use crate::fixtures::{diagnosed, path};

    fn fault(kind: &str, severity: FaultSeverity) -> FaultReport {
        FaultReport { kind: kind.to_owned(), severity, text: format!("{kind} is wrong"), remedy: "mend it".to_owned() }
    }

    fn with(kind: &str, severity: FaultSeverity) -> (Vec<String>, Vec<String>, String) {
        let found = diagnosed(|mesh| {
            let status: &mut StatusPage = mesh.status("b1");
            status.ready = severity == FaultSeverity::Warning;
            status.faults = vec![fault(kind, severity)];
        });
        (found.problems(), found.warnings(), found.texts())
    }

    #[test]
    fn silence_is_reported_only_where_no_other_problem_explains_it() {
        let silent = || vec![fault("AllNodesSilent", FaultSeverity::Warning)];
        let alone = diagnosed(|mesh| mesh.status("b1").faults = silent());
        assert_eq!(alone.problems(), ["udp-reachability b1"]);
        let explained = diagnosed(|mesh| {
            let mut faults = silent();
            faults.push(fault("ApiLost", FaultSeverity::Warning));
            mesh.status("b1").faults = faults;
        });
        assert_eq!(explained.problems(), ["api-server b1"]);
    }

    #[test]
    fn silence_of_nodes_that_share_no_network_is_no_closed_port() {
        let found = |to: &'static str, reason: WarningReason| {
            diagnosed(move |mesh| {
                let down = ProbedPath { state: PathState::Down, ..path(to, PathKind::Inside, None) };
                mesh.status("a1").paths = vec![down];
                mesh.status("a1").faults = vec![fault("AllNodesSilent", FaultSeverity::Warning)];
                let object = ObjectName::Node("a2".parse().unwrap());
                mesh.plan("a1").warnings = [Warning::new(object, "internal-addresses", "10.0.0.2", reason)].into();
            })
        };
        for reason in
            [WarningReason::RoutedElsewhere("eth0".to_owned()), WarningReason::RoutedToInternet("eth0".to_owned())]
        {
            let explained = found("a2", reason.clone());
            assert_eq!((explained.problems(), explained.warnings()), (vec![], vec!["location-network a1".to_owned()]));
            assert_ne!(found("b1", reason).problems(), [""; 0], "another node is silent");
        }
        let other = found("a2", WarningReason::Unresolved);
        assert_ne!(other.problems(), [""; 0], "nothing says that they share no network");
    }

    #[test]
    fn a_fault_is_reported_in_the_agents_words_by_the_check_that_it_belongs_to() {
        for (kind, check) in [
            ("DeviceMissing", "wireguard-device b1"),
            ("DeviceSilent", "wireguard-device b1"),
            ("ForwardingOff", "ip-forwarding b1"),
            ("ForwardChainDrops", "forward-policy b1"),
            ("NotAccepted", "agent-ready b1"),
            ("KindOfALaterVersion", "agent-ready b1"),
        ] {
            let (problems, warnings, texts) = with(kind, FaultSeverity::NotReady);
            assert_eq!((problems, warnings), (vec![check.to_owned()], vec![]));
            assert!(texts.contains(&format!("{kind} is wrong")), "{texts}");
        }
        let (problems, warnings, _) = with("ForwardChainLocked", FaultSeverity::Warning);
        assert_eq!((problems, warnings), (vec![], vec!["forward-policy b1".to_owned()]));
    }

    #[test]
    fn what_the_agent_and_the_checks_of_its_node_find_is_one_finding() {
        let found = diagnosed(|mesh| {
            mesh.status("b1").ready = false;
            mesh.status("b1").faults = vec![fault("DeviceMissing", FaultSeverity::NotReady)];
            mesh.checks("b1").wireguard = WireGuardState::Missing;
            mesh.checks("b1").cni = Some(CniDirectory::default());
        });
        assert_eq!(found.problems(), ["wireguard-device b1"]);
        assert!(found.texts().contains("DeviceMissing is wrong"));
    }

    #[test]
    fn an_agent_of_an_earlier_version_is_reported_with_what_it_waits_for() {
        let found = diagnosed(|mesh| {
            mesh.status("b1").ready = false;
            mesh.status("b1").waiting = "waiting for a pod CIDR".to_owned();
        });
        assert_eq!(found.problems(), ["agent-ready b1"]);
        assert!(found.texts().contains("pod CIDR"));
        let starting = diagnosed(|mesh| mesh.status("b1").ready = false);
        assert!(starting.texts().contains("the agent is starting"));
    }
}
