//! Observations of the mesh: every agent's pages `/status` and `/checks`.

use std::time::SystemTime;

use carrick_doctor::{Agent as Observed, Observations, Pages, TimeRange};
use carrick_status::{ChecksPage, StatusPage, unix_ms};
use carrick_topology::NodeName;

use crate::access::Access;
use crate::fetch_error::FetchError;
use crate::snapshot::{Agent, Snapshot};

/// Fetches the pages `/checks` of the agents in a snapshot.
pub(super) async fn observe(access: &Access, snapshot: &Snapshot) -> Observations {
    let requests = snapshot.pages().map(|(agent, status)| async move { (agent, status, fetch(access, agent).await) });
    let answers = access.run_all(requests).await;
    let mut observations = Observations::default();
    for (agent, status, (asked, checks)) in answers {
        match node_of(agent, status) {
            Some(node) => {
                let pages = Pages { status: status.clone(), asked, checks: checks.ok(), later: None };
                observations.agents.insert(node, Observed::Answered(Box::new(pages)));
            }
            None => {
                observations.unidentified.insert(agent.name.clone(), "its page does not name its node".to_owned());
            }
        }
    }
    for (name, reason) in snapshot.unreachable() {
        match name.parse() {
            Ok(node) => drop(observations.agents.insert(node, Observed::Unreachable(reason))),
            Err(_) => drop(observations.unidentified.insert(name, reason)),
        }
    }
    observations
}

/// Fetches the pages `/checks` again. The first page of an agent that does not answer again stays.
pub(super) async fn observe_again(access: &Access, snapshot: &Snapshot, observations: &mut Observations) {
    let requests =
        snapshot.pages().map(|(agent, status)| async move { (node_of(agent, status), fetch(access, agent).await.1) });
    let answers = access.run_all(requests).await;
    for (node, checks) in answers {
        if let Some(Observed::Answered(pages)) = node.and_then(|node| observations.agents.get_mut(&node)) {
            pages.later = checks.ok();
        }
    }
}

fn node_of(agent: &Agent, status: &StatusPage) -> Option<NodeName> {
    status.node.clone().or_else(|| agent.name.parse().ok())
}

async fn fetch(access: &Access, agent: &Agent) -> (TimeRange, Result<ChecksPage, FetchError>) {
    let from_ms = unix_ms(SystemTime::now());
    let checks = access.fetch_json(agent, "/checks").await;
    (TimeRange { from_ms, to_ms: unix_ms(SystemTime::now()) }, checks)
}
