//! The checks that need the pages of several nodes, where only some of the mesh's nodes gave theirs.

use std::collections::BTreeSet;

use carrick_topology::NodeName;
use carrick_topology::plan::PeerIdentity;

use super::tunnel::tunnels;
use crate::finding::listed;
use crate::{Check, Finding, Observations, Pages};

/// The checks of the mesh that compare nothing, because no page of a node at the other end is known.
pub(crate) fn unexamined(observations: &Observations) -> Vec<Finding> {
    if !is_partial(observations) {
        return Vec::new();
    }
    let several = observations.answered().nth(1).is_some();
    let both_ends = "the pages of the nodes at both ends of a tunnel";
    let checks = [
        (Check::AgentVersion, several, "the pages of several nodes"),
        (Check::PrivateEndpoint, knows_dialled_node(observations), both_ends),
        (Check::EndpointInPodCidr, knows_dialled_node(observations), both_ends),
        (Check::UdpReachability, !tunnels(observations).is_empty(), both_ends),
        (Check::Handshakes, !tunnels(observations).is_empty(), both_ends),
        (Check::NatKind, several, "the pages of several nodes"),
        (Check::ProbePort, knows_probed_node(observations), "the pages of the nodes at both ends of a path"),
    ];
    let answered = listed(observations.answered().map(|(node, _)| node));
    let finding =
        |(check, _, needs)| Finding::not_examined(check, format!("needs {needs}; known are those of {answered}"));
    checks.into_iter().filter(|(_, is_examined, _)| !is_examined).map(finding).collect()
}

/// Whether a plan names a node whose page is not known.
fn is_partial(observations: &Observations) -> bool {
    let plans = observations.answered().filter_map(|(_, pages)| pages.plan());
    let members: BTreeSet<&NodeName> = plans.flat_map(|plan| plan.probes.members.keys()).collect();
    members.into_iter().any(|node| observations.pages(node).is_none())
}

fn knows_dialled_node(observations: &Observations) -> bool {
    let plans = observations.answered().filter_map(|(_, pages): (_, &Pages)| pages.plan());
    plans.flat_map(|plan| plan.wireguard.peers.values()).any(|peer| match &peer.identity {
        PeerIdentity::Node(node) => observations.pages(node).is_some(),
        PeerIdentity::Outside(_) => false,
    })
}

fn knows_probed_node(observations: &Observations) -> bool {
    let paths = observations.answered().flat_map(|(_, pages)| &pages.status.paths);
    paths.into_iter().any(|path| observations.pages(&path.to).is_some())
}

#[cfg(test)]
mod tests {
    use carrick_probe::PathKind;

    use crate::fixtures::{MeshFixture, mesh, path};
    use crate::{Severity, diagnose, worst};

    /// The checks that were not examined with the pages of these nodes only.
    fn unexamined(nodes: &[&str], change: impl FnOnce(&mut MeshFixture)) -> Vec<&'static str> {
        let mut mesh = mesh();
        change(&mut mesh);
        mesh.keep(nodes);
        let findings = diagnose(&mesh);
        assert_eq!(worst(&findings), Severity::Ok);
        let unexamined = findings.iter().filter(|finding| finding.severity == Severity::NotExamined);
        unexamined.map(|finding| finding.check.name()).collect()
    }

    const OF_TUNNELS: [&str; 4] = ["private-endpoint", "endpoint-in-pod-cidr", "udp-reachability", "handshakes"];

    #[test]
    fn with_one_page_the_checks_of_both_ends_are_not_examined() {
        let alone = unexamined(&["a1"], |_| ());
        let [private, pods, udp, handshakes] = OF_TUNNELS;
        assert_eq!(alone, ["agent-version", private, pods, udp, handshakes, "nat-kind", "probe-port"]);
    }

    #[test]
    fn nodes_without_a_tunnel_to_each_other_examine_no_tunnel() {
        let inside = |mesh: &mut MeshFixture| mesh.status("a1").paths = vec![path("a2", PathKind::Inside, None)];
        assert_eq!(unexamined(&["a1", "a2"], inside), OF_TUNNELS);
    }

    #[test]
    fn both_ends_or_all_nodes_suffice() {
        let tunnel = |mesh: &mut MeshFixture| mesh.status("a1").paths = vec![path("b1", PathKind::Tunnel, None)];
        assert_eq!(unexamined(&["a1", "b1"], tunnel), [""; 0]);
        assert_eq!(unexamined(&["a1", "a2", "b1", "c1"], |_| ()), [""; 0]);
    }
}
