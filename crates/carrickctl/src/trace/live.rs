//! `--live`: makes agents send probes along the paths.
//!
//! The first node of a path sends probes with growing hop limits (as traceroute does). The node of each hop replies, and the path ends
//! where no node replies.

use carrick_status::LiveTracePage;

use super::live_path::LivePath;
use super::{Trace, TracedPath};
use crate::access::Access;
use crate::cluster_plan::ClusterPlan;
use crate::fetch_error::FetchError;
use crate::snapshot::{Agent, Answer, Snapshot};

/// Makes the first nodes of the paths send probes. The paths follow one after the other, because an agent sends few probes at a time.
pub async fn send_probes(access: &Access, snapshot: &Snapshot, cluster_plan: &ClusterPlan, trace: &mut Trace) {
    for path in &mut trace.paths {
        let by = path.nodes.first().cloned().unwrap_or_default();
        let live = match probe(access, snapshot, &by, path).await {
            Ok(page) => LivePath::of(cluster_plan, by, path.route(), &page),
            Err(reason) => {
                LivePath { end: format!("no probes: {reason}"), source: None, hops: Vec::new(), arrives: false, by }
            }
        };
        if !live.arrives {
            path.obstacles.push(format!("live: {}", live.end));
        }
        path.obstacles.extend(live.detours());
        path.live = Some(live);
    }
}

async fn probe(access: &Access, snapshot: &Snapshot, by: &str, path: &TracedPath) -> Result<LiveTracePage, String> {
    let no_agent = || format!("{by} has no agent that could send probes");
    let agent = snapshot.agent(by).ok_or_else(no_agent)?;
    match &agent.answer {
        Answer::Page(_) => {}
        Answer::Unreachable(error) => return Err(format!("the agent of {by} does not answer: {error}")),
        Answer::NoAgent => return Err(no_agent()),
    }
    // One hop for a pod behind the last node, and one to see that nothing follows.
    let hops = path.nodes.len() + 1;
    let page = format!("/trace?to={}&hops={hops}", path.destination);
    let page: LiveTracePage = access.fetch_json(agent, &page).await.map_err(|error| no_page(agent, &error))?;
    match page.not_sent {
        Some(reason) => Err(format!("{by} cannot send to {}: {reason}", path.destination)),
        None => Ok(page),
    }
}

/// Why an agent does not serve the page `/trace`.
fn no_page(agent: &Agent, error: &FetchError) -> String {
    let name = &agent.name;
    if error.is_unknown_page() {
        let version = agent.page().map(|page| page.version.as_str()).unwrap_or_default();
        format!("the agent of {name}, version {version}, cannot send probes; upgrade it")
    } else {
        format!("the agent of {name}: {error}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn agent() -> Agent {
        let page = carrick_status::StatusPage { version: "0.0.9".to_owned(), ..Default::default() };
        Agent {
            name: "a1".to_owned(),
            pod: None,
            socket: None,
            answer: Answer::Page(Box::new(page)),
            took: Duration::ZERO,
        }
    }

    #[test]
    fn only_an_agent_that_does_not_know_the_page_is_too_old() {
        let status = |code, body: &str| FetchError::Status { code, body: body.to_owned() };
        assert_eq!(
            no_page(&agent(), &status(404, "")),
            "the agent of a1, version 0.0.9, cannot send probes; upgrade it"
        );
        // The text of an answer decides nothing.
        let forbidden = no_page(&agent(), &status(403, "404 is not an address of the mesh"));
        assert!(forbidden.contains("HTTP status 403") && !forbidden.contains("upgrade"), "{forbidden}");
    }
}
