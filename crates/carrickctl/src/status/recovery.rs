//! Nodes that answer again, and are down until their stable time ends.

use carrick_probe::PathState;

use crate::health;
use crate::snapshot::Snapshot;

/// Whether a node that other agents see down has no problem itself, and answers the probes of all of them that probe it. A node that does not
/// reach others has a problem.
pub(super) fn is_recovering(snapshot: &Snapshot, node: &str) -> bool {
    let is_well =
        |node| snapshot.agent(node).is_some_and(|agent| agent.page().is_some() && health::problems(agent).is_empty());
    let observers = snapshot
        .pages()
        .filter(|(_, page)| page.liveness.down.difference(&page.liveness.drained).any(|down| down.as_str() == node));
    let mut paths =
        observers.flat_map(|(_, page)| page.paths.iter().filter(|path| path.to.as_str() == node)).peekable();
    paths.peek().is_some() && paths.all(|path| path.state == PathState::Up) && is_well(node)
}
