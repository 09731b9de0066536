//! Whether probes are answered where everything else works.

use std::collections::{BTreeMap, BTreeSet};

use carrick_probe::{Path, PathKind, PathState};
use carrick_topology::NodeName;
use carrick_topology::contract::PROBE_PORT;

use super::tunnel::{Tunnel, tunnels};
use crate::finding::listed;
use crate::{Check, Finding, Observations};

/// A node whose agent answers whoever asks answers probes too.
pub(super) fn probe_port(observations: &Observations) -> Vec<Finding> {
    let alive: Vec<Tunnel<'_>> = tunnels(observations).into_iter().filter(Tunnel::is_alive).collect();
    let is_alive = |one: &NodeName, other: &NodeName| {
        alive.iter().any(|tunnel| {
            let [this, that] = tunnel.ends.map(|end| end.node);
            (this, that) == (one, other) || (this, that) == (other, one)
        })
    };
    let mut deaf: BTreeMap<&NodeName, BTreeSet<&NodeName>> = BTreeMap::new();
    for (node, pages) in observations.answered() {
        let unanswered = pages.status.paths.iter().filter(|path| is_unanswered(path));
        let unanswered = unanswered.filter(|path| observations.pages(&path.to).is_some());
        for path in unanswered.filter(|path| path.kind == PathKind::Inside || is_alive(node, &path.to)) {
            deaf.entry(&path.to).or_default().insert(node);
        }
    }
    let told = deaf.into_iter().map(|(node, from)| {
        Finding::problem(
            Check::ProbePort,
            format!("probes of {} are not answered: latency, path MTU and failover are blind there", listed(&from)),
            format!("let UDP {PROBE_PORT} in on carrick0 and from the internal addresses of the location"),
        )
        .on(node)
        .towards(from)
    });
    told.collect()
}

const fn is_unanswered(path: &Path) -> bool {
    match path.state {
        PathState::Down | PathState::AgentAway => true,
        PathState::Up | PathState::Unknown => false,
    }
}

#[cfg(test)]
mod tests {
    use carrick_probe::{PathKind, PathState};

    use crate::testing::{diagnosed, path};

    #[test]
    fn unanswered_probes_in_a_tunnel_that_lives_are_a_blocked_port() {
        let down = |kind, to: &str| carrick_probe::Path { state: PathState::Down, ..path(to, kind, None) };
        let found = diagnosed(|mesh| mesh.status("a1").paths = vec![down(PathKind::Tunnel, "b1")]);
        assert_eq!(found.problems(), ["probe-port b1"]);
        let inside = diagnosed(|mesh| mesh.status("a1").paths = vec![down(PathKind::Inside, "a2")]);
        assert_eq!(inside.problems(), ["probe-port a2"]);
    }

    #[test]
    fn where_the_tunnel_or_the_agent_is_dead_that_is_the_verdict() {
        let down = carrick_probe::Path { state: PathState::Down, ..path("b1", PathKind::Tunnel, None) };
        let found = diagnosed(|mesh| {
            mesh.status("a1").paths = vec![down];
            mesh.silence("b1", "timeout");
        });
        assert_eq!(found.problems(), ["agent-reachable b1"]);
    }
}
