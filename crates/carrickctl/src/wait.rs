//! `carrickctl wait`: waits until nodes, or the whole mesh, have no problem.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::access::{Access, AccessOptions, seconds};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::health;
use crate::output::{Document, Style, View};
use crate::snapshot::{Answer, Snapshot};

/// The time between two looks.
const INTERVAL: Duration = Duration::from_secs(2);

/// Options of `carrickctl wait`.
#[derive(Args, Clone, Debug)]
pub struct WaitOptions {
    /// The nodes to wait for, which may join later [default: all nodes of the mesh].
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub within: Duration,
}

/// What was seen last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waited {
    /// The problem of each node that has one. Empty: the wait is over.
    pub problems: BTreeMap<String, String>,
    /// How long the command waited, in seconds.
    pub seconds: u64,
}

/// Looks at the nodes until they have no problem or the time is over. `report` gets a line for each change.
///
/// # Errors
/// The command line is wrong, or at the end neither the API server nor an agent can be reached.
pub async fn run(access: &AccessOptions, options: &WaitOptions, report: impl Fn(&str)) -> Result<Waited, Failure> {
    let access = Access::open(access).await?;
    if access.is_offline() {
        return Err(Failure::Usage(
            "wait needs agents that answer, not saved objects: use a kubeconfig, `--local` or `--socket`".to_owned(),
        ));
    }
    let began = Instant::now();
    let mut before = BTreeMap::new();
    loop {
        let looked = access.snapshot().await.map(|snapshot| problems(&snapshot, &options.nodes));
        let is_over = began.elapsed() + INTERVAL > options.within;
        let now = match looked {
            Ok(now) if now.is_empty() || is_over => {
                return Ok(Waited { problems: now, seconds: began.elapsed().as_secs() });
            }
            Ok(now) => now,
            Err(failure) if is_over || failure.exit() != Exit::Unreachable => return Err(failure),
            Err(failure) => BTreeMap::from([("API server".to_owned(), failure.to_string())]),
        };
        for line in changes(&before, &now) {
            report(&format!("{:>4} s  {line}", began.elapsed().as_secs()));
        }
        before = now;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The first problem of each of the nodes that has one.
fn problems(snapshot: &Snapshot, nodes: &[String]) -> BTreeMap<String, String> {
    let first = |name: &str| match snapshot.agent(name) {
        None => Some("there is no such Node yet".to_owned()),
        Some(agent) if matches!(agent.answer, Answer::NoAgent) => Some("the node has no agent yet".to_owned()),
        Some(agent) => health::problems(agent).into_iter().next(),
    };
    if !nodes.is_empty() {
        return nodes.iter().filter_map(|name| Some((name.clone(), first(name)?))).collect();
    }
    let members = snapshot.agents.iter().filter(|agent| !matches!(agent.answer, Answer::NoAgent));
    let mut members = members.peekable();
    if members.peek().is_none() {
        return BTreeMap::from([("mesh".to_owned(), "no node has an agent yet".to_owned())]);
    }
    members.filter_map(|agent| Some((agent.name.clone(), first(&agent.name)?))).collect()
}

/// What is new, as a line for each node.
fn changes(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let well = before.keys().filter(|name| !now.contains_key(*name)).map(|name| format!("{name}: ok"));
    let other = now.iter().filter(|(name, problem)| before.get(*name) != Some(*problem));
    well.chain(other.map(|(name, problem)| format!("{name}: {problem}"))).collect()
}

impl View for Waited {
    fn draw(&self, document: &mut Document) {
        if self.problems.is_empty() {
            document.styled(format_args!("no problem, after {} s", self.seconds), Style::Good);
        }
        for (name, problem) in &self.problems {
            document.styled(format_args!("{name}: {problem}"), Style::Bad);
        }
    }

    fn exit(&self) -> Exit {
        if self.problems.is_empty() { Exit::Healthy } else { Exit::Unhealthy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::snapshot;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, problem)| (name.to_string(), problem.to_string())).collect()
    }

    #[test]
    fn a_mesh_without_problems_ends_the_wait() {
        assert_eq!(problems(&snapshot(), &[]), map(&[]));
        assert_eq!(problems(&snapshot(), &names(&["a1", "b1"])), map(&[]));
    }

    #[test]
    fn a_problem_a_missing_node_and_a_missing_agent_are_waited_for() {
        let mut snapshot = snapshot();
        if let Answer::Page(page) = &mut snapshot.agents[0].answer {
            page.ready = false;
        }
        snapshot.agents[1].answer = Answer::NoAgent;
        assert_eq!(problems(&snapshot, &[]), map(&[("a1", "not ready: starting")]), "a2 is not in the mesh");
        assert_eq!(
            problems(&snapshot, &names(&["a1", "a2", "c1", "b1"])),
            map(&[
                ("a1", "not ready: starting"),
                ("a2", "the node has no agent yet"),
                ("c1", "there is no such Node yet")
            ])
        );
        for agent in &mut snapshot.agents {
            agent.answer = Answer::NoAgent;
        }
        assert_eq!(problems(&snapshot, &[]), map(&[("mesh", "no node has an agent yet")]));
    }

    #[test]
    fn only_changes_are_reported() {
        let before = map(&[("a1", "starting"), ("a2", "no answer")]);
        let now = map(&[("a2", "no answer"), ("b1", "path to a1 is down")]);
        assert_eq!(changes(&before, &now), ["a1: ok", "b1: path to a1 is down"]);
        assert!(changes(&now, &now).is_empty());
    }
}
