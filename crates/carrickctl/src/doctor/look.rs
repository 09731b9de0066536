//! Asking the agents to look at their nodes.

use std::time::SystemTime;

use carrick_doctor::{Agent as Observed, Moment, Observations, Pages};
use carrick_status::{ChecksPage, StatusPage, unix_ms};
use carrick_topology::NodeName;

use crate::access::Access;
use crate::survey::{Agent, Answer, Survey};

/// Joins a survey with what the agents see now.
pub(super) async fn observe(access: &Access, survey: &Survey) -> Observations {
    let looks = survey.pages().map(|(agent, status)| async move { (agent, status, ask(access, agent).await) });
    let looks = access.some_at_a_time(looks).await;
    let mut observations = Observations::default();
    for (agent, status, (asked, checks)) in looks {
        match node_of(agent, status) {
            Some(node) => {
                let pages = Pages { status: status.clone(), asked, checks: checks.ok(), later: None };
                observations.agents.insert(node, Observed::Answered(Box::new(pages)));
            }
            None => {
                observations.nobody.insert(agent.name.clone(), "it does not say on which node it is".to_owned());
            }
        }
    }
    for agent in &survey.agents {
        if let Answer::Silence(reason) = &agent.answer {
            match agent.name.parse() {
                Ok(node) => drop(observations.agents.insert(node, Observed::Unreachable(reason.clone()))),
                Err(_) => drop(observations.nobody.insert(agent.name.clone(), reason.clone())),
            }
        }
    }
    observations
}

/// Has the agents look once more. What one does not tell again stays as it was.
pub(super) async fn look_again(access: &Access, survey: &Survey, observations: &mut Observations) {
    let looks =
        survey.pages().map(|(agent, status)| async move { (node_of(agent, status), ask(access, agent).await.1) });
    let looks = access.some_at_a_time(looks).await;
    for (node, checks) in looks {
        if let Some(Observed::Answered(pages)) = node.and_then(|node| observations.agents.get_mut(&node)) {
            pages.later = checks.ok();
        }
    }
}

fn node_of(agent: &Agent, status: &StatusPage) -> Option<NodeName> {
    status.node.clone().or_else(|| agent.name.parse().ok())
}

async fn ask(access: &Access, agent: &Agent) -> (Moment, Result<ChecksPage, String>) {
    let from_ms = unix_ms(SystemTime::now());
    let body = access.fetch(agent, "/checks").await;
    let asked = Moment { from_ms, to_ms: unix_ms(SystemTime::now()) };
    (asked, body.and_then(|body| serde_json::from_slice(&body).map_err(|error| error.to_string())))
}
