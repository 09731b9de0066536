//! Whether probes are answered on paths that otherwise work.

use std::collections::{BTreeMap, BTreeSet};

use carrick_probe::{PathKind, PathState, ProbedPath};
use carrick_topology::constants::PROBE_PORT;
use carrick_topology::{DeviceName, NodeName, ObjectName, WarningReason};
use ipnet::IpNet;

use super::common_end::by_common_end;
use super::tunnel::{Tunnel, tunnels};
use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// A node whose agent answers the caller also answers probes.
pub(super) fn probe_port(observations: &Observations) -> Vec<Finding> {
    let open: Vec<Tunnel<'_>> = tunnels(observations)
        .into_iter()
        .filter(|tunnel| tunnel.has_session() && tunnel.losses().next().is_none())
        .collect();
    let is_open = |one: &NodeName, other: &NodeName| {
        open.iter().any(|tunnel| {
            let [this, that] = tunnel.ends.map(|end| end.node);
            (this, that) == (one, other) || (this, that) == (other, one)
        })
    };
    let (mut unanswered, mut answered) = (BTreeSet::new(), BTreeSet::new());
    let mut overlapped: BTreeMap<(&NodeName, IpNet), BTreeSet<&NodeName>> = BTreeMap::new();
    for (node, pages) in observations.answered() {
        for path in pages.status.paths.iter().filter(|path| observations.pages(&path.to).is_some()) {
            if !is_unanswered(path) {
                answered.insert((node, &path.to));
            } else if let Some((end, network, far)) = overlap(observations, node, &path.to) {
                overlapped.entry((end, network)).or_default().insert(far);
            } else if match path.kind {
                PathKind::Inside => !share_no_network(observations, node, &path.to),
                PathKind::Tunnel => is_open(node, &path.to),
            } {
                unanswered.insert((node, &path.to));
            }
        }
    }
    // Answers go to the port that the probes come from: a node whose port is closed receives neither probes nor answers.
    let closed = by_common_end(unanswered, &answered).into_iter();
    let closed = closed.map(|(node, others)| finding(observations, node, others));
    let explained = overlapped.into_iter().map(|((node, network), others)| overlap_finding(node, network, others));
    explained.chain(closed).collect()
}

/// The network of one of the nodes that contains a mesh address of the other one: answers to that address leave the mesh. The node with
/// the network comes first.
fn overlap<'a>(
    observations: &'a Observations,
    one: &'a NodeName,
    other: &'a NodeName,
) -> Option<(&'a NodeName, IpNet, &'a NodeName)> {
    let covering = |node: &NodeName, far: &NodeName| {
        let pages = observations.pages(node)?;
        let to_far = |path: &&ProbedPath| path.to == *far && path.kind == PathKind::Tunnel;
        let address = pages.status.paths.iter().find(to_far)?.address;
        let warnings = pages.plan()?.warnings.iter();
        let networks = warnings.filter_map(|warning| match &warning.reason {
            // The network with its device: `10.4.0.0/24 on lan0`.
            WarningReason::OverlapsOwnSubnet(network) => network.split(' ').next()?.parse::<IpNet>().ok(),
            _ => None,
        });
        networks.into_iter().find(|network| network.contains(&address))
    };
    let found = |(node, far)| Some((node, covering(node, far)?, far));
    found((one, other)).or_else(|| found((other, one)))
}

fn overlap_finding(node: &NodeName, network: IpNet, others: BTreeSet<&NodeName>) -> Finding {
    Finding::problem(
        Check::ProbePort,
        format!(
            "probes between this node and {} are not answered, because the network {network} of this node contains their mesh addresses: failover does not work there",
            listed(&others)
        ),
        format!("renumber the network {network}, or choose other mesh CIDRs"),
    )
    .on(node)
    .towards(others)
}

/// Whether one of the nodes reports that the other one is outside of the location's network. That is a finding of its own, and no port is
/// the reason.
pub(super) fn share_no_network(observations: &Observations, one: &NodeName, other: &NodeName) -> bool {
    let reports = |node: &NodeName, far: &NodeName| {
        let plan = observations.pages(node).and_then(|pages| pages.plan());
        plan.into_iter().flat_map(|plan| &plan.warnings).any(|warning| {
            matches!(warning.reason, WarningReason::RoutedElsewhere(_) | WarningReason::RoutedToInternet(_))
                && warning.object == ObjectName::Node(far.clone())
        })
    };
    reports(one, other) || reports(other, one)
}

fn finding(observations: &Observations, node: &NodeName, others: BTreeSet<&NodeName>) -> Finding {
    let plan = observations.pages(node).and_then(|pages| pages.plan());
    let device = plan.map(|plan| plan.wireguard.device.clone()).unwrap_or_else(DeviceName::default_wireguard);
    Finding::problem(
        Check::ProbePort,
        format!(
            "probes between this node and {} are not answered: latency and path MTU are unknown, and failover does not work there",
            listed(&others)
        ),
        format!("accept UDP port {PROBE_PORT} on {device} and from the internal addresses of the location"),
    )
    .on(node)
    .towards(others)
}

const fn is_unanswered(path: &ProbedPath) -> bool {
    match path.state {
        PathState::Down | PathState::AgentAway => true,
        PathState::Up | PathState::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use carrick_probe::{PathKind, PathState};
    use carrick_topology::{ObjectName, Warning, WarningReason};

    use crate::fixtures::{diagnosed, path};

    #[test]
    fn unanswered_probes_in_a_working_tunnel_are_a_blocked_port() {
        let down = |kind, to: &str| carrick_probe::ProbedPath { state: PathState::Down, ..path(to, kind, None) };
        let found = diagnosed(|mesh| mesh.status("a1").paths = vec![down(PathKind::Tunnel, "b1")]);
        assert_eq!(found.problems(), ["probe-port b1"]);
        let inside = diagnosed(|mesh| mesh.status("a1").paths = vec![down(PathKind::Inside, "a2")]);
        assert_eq!(inside.problems(), ["probe-port a2"]);
    }

    #[test]
    fn a_network_of_the_host_that_contains_the_probed_address_is_named_instead_of_the_port() {
        let reason = |network: &str| WarningReason::OverlapsOwnSubnet(format!("{network} on lan0"));
        let found = |network: &str| {
            let down = carrick_probe::ProbedPath { state: PathState::Down, ..path("b1", PathKind::Tunnel, None) };
            let back = carrick_probe::ProbedPath { state: PathState::Down, ..path("a1", PathKind::Tunnel, None) };
            diagnosed(|mesh| {
                mesh.status("a1").paths = vec![down.clone()];
                mesh.status("b1").paths = vec![back.clone()];
                let warning = Warning::new(ObjectName::Mesh, "mesh-cidr", "10.4.0.0/16", reason(network));
                mesh.plan("b1").warnings = [warning].into();
            })
        };
        let overlapping = found("10.4.0.0/28");
        assert_eq!(overlapping.problems(), ["probe-port b1"]);
        assert!(overlapping.remedies().contains("renumber the network 10.4.0.0/28"), "{}", overlapping.remedies());
        assert!(!overlapping.remedies().contains("accept UDP port"), "{}", overlapping.remedies());
        assert!(found("10.4.9.0/24").remedies().contains("accept UDP port"), "another network explains nothing");
    }

    #[test]
    fn nodes_that_share_no_network_have_no_blocked_port() {
        let reason = WarningReason::RoutedElsewhere("eth0".to_owned());
        let warning = Warning::new(ObjectName::Node("a2".parse().unwrap()), "internal-addresses", "10.0.0.2", reason);
        for reporter in ["a1", "a2"] {
            let found = diagnosed(|mesh| {
                let to = if reporter == "a1" { "a2" } else { "a1" };
                let down = carrick_probe::ProbedPath { state: PathState::Down, ..path(to, PathKind::Inside, None) };
                mesh.status(reporter).paths = vec![down];
                mesh.plan("a1").warnings = [warning.clone()].into();
            });
            assert_eq!((found.problems().len(), found.warnings().len()), (0, 1), "{}", found.texts());
        }
    }

    #[test]
    fn a_node_that_neither_answers_nor_receives_answers_is_the_only_problem() {
        let down = |to: &str| carrick_probe::ProbedPath { state: PathState::Down, ..path(to, PathKind::Tunnel, None) };
        let found = diagnosed(|mesh| {
            mesh.status("a1").paths = vec![down("b1"), path("c1", PathKind::Tunnel, None)];
            mesh.status("c1").paths = vec![down("b1"), path("a1", PathKind::Tunnel, None)];
            mesh.status("b1").paths = vec![down("a1"), down("c1")];
        });
        assert_eq!(found.problems(), ["probe-port b1"]);
    }

    #[test]
    fn an_unreachable_agent_is_reported_instead_of_its_probe_port() {
        let down = carrick_probe::ProbedPath { state: PathState::Down, ..path("b1", PathKind::Tunnel, None) };
        let found = diagnosed(|mesh| {
            mesh.status("a1").paths = vec![down];
            mesh.set_unreachable("b1", "timeout");
        });
        assert_eq!(found.problems(), ["agent-reachable b1"]);
    }
}
