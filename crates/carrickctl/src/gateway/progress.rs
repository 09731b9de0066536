//! How far the traffic of a gateway has moved, as the agents see it.

use std::collections::BTreeSet;
use std::fmt;

use carrick_topology::model::{Duty, Granularity};
use carrick_topology::plan::PeerIdentity;
use carrick_topology::{NodeName, NodePlan, ObjectName, WarningReason};
use serde::Serialize;

use crate::snapshot::{Agent, Snapshot};

/// What the person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Other gateways carry the traffic.
    Drained,
    /// The gateway carries it.
    Serving,
}

/// What stands between the gateway and the goal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outlook {
    /// No other node sends by it.
    NoGateway,
    /// No other gateway of its location can take the traffic.
    NoAlternative,
    /// Its agent has not answered, or does not know the annotation yet.
    AgentBehind,
    /// The nodes move, or have moved.
    Moving,
}

/// How far the traffic has moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// What the person wants.
    pub goal: Goal,
    /// What stands between the gateway and the goal.
    pub outlook: Outlook,
    /// The nodes that send by the gateway, or would, and have reached the goal.
    pub moved: BTreeSet<String>,
    /// Those that have not.
    pub waiting: BTreeSet<String>,
    /// The nodes whose agents do not answer, so that their traffic is not known.
    pub unknown: BTreeSet<String>,
    /// The nodes whose agents are too old to let the gateway drain.
    pub preventing: BTreeSet<String>,
    /// The outside peers that the gateway serves.
    pub outside_peers: BTreeSet<String>,
}

/// Looks at the agents.
pub(super) fn progress(snapshot: &Snapshot, node: &NodeName, goal: Goal) -> Progress {
    let own = snapshot.agent(node.as_str()).and_then(Agent::plan);
    let mut progress = Progress {
        goal,
        outlook: Outlook::Moving,
        moved: BTreeSet::new(),
        waiting: BTreeSet::new(),
        unknown: snapshot.unreachable().into_keys().filter(|name| name != node.as_str()).collect(),
        preventing: own.map(preventing).unwrap_or_default(),
        outside_peers: own.map(outside_peers).unwrap_or_default(),
    };
    for (agent, page) in snapshot.pages().filter(|(agent, _)| agent.name != node.as_str()) {
        let probes = page.plan.as_ref().is_some_and(|plan| plan.probes.targets.contains_key(node));
        if !probes {
            continue;
        }
        let has_moved = match goal {
            Goal::Drained => page.liveness.drained.contains(node),
            Goal::Serving => !page.liveness.down.contains(node) && page.liveness.handover.draining.is_empty(),
        };
        let list = if has_moved { &mut progress.moved } else { &mut progress.waiting };
        list.insert(agent.name.clone());
    }
    progress.outlook = outlook(snapshot, node, own, &progress);
    progress
}

fn outlook(snapshot: &Snapshot, node: &NodeName, own: Option<&NodePlan>, progress: &Progress) -> Outlook {
    let Some(own) = own else { return Outlook::AgentBehind };
    let granularity = snapshot.pages().find_map(|(_, page)| Some(page.settings.as_ref()?.granularity));
    let sends_for_others = granularity == Some(Granularity::Location) && own.location.gateway.as_ref() == Some(node);
    if !sends_for_others || (progress.moved.is_empty() && progress.waiting.is_empty()) {
        return Outlook::NoGateway;
    }
    let duty = match progress.goal {
        Goal::Drained => Duty::Draining,
        Goal::Serving => Duty::Serving,
    };
    let has_drained = |other: &NodeName| snapshot.pages().any(|(_, page)| page.liveness.drained.contains(other));
    let mut others = own.location.active.iter().chain(&own.location.standby).filter(|other| *other != node);
    let has_alternative = others.any(|other| !has_drained(other));
    match progress.goal {
        Goal::Drained if !has_alternative && progress.moved.is_empty() => Outlook::NoAlternative,
        Goal::Drained | Goal::Serving if own.probes.duty != duty => Outlook::AgentBehind,
        Goal::Drained | Goal::Serving => Outlook::Moving,
    }
}

fn preventing(plan: &NodePlan) -> BTreeSet<String> {
    let older = plan.warnings.iter().filter(|warning| matches!(warning.reason, WarningReason::PreventsDrain(_)));
    let names = older.filter_map(|warning| match &warning.object {
        ObjectName::Node(node) => Some(node.to_string()),
        ObjectName::Peer(_) | ObjectName::Location(_) | ObjectName::Mesh => None,
    });
    names.collect()
}

fn outside_peers(plan: &NodePlan) -> BTreeSet<String> {
    let name = |identity: &PeerIdentity| match identity {
        PeerIdentity::Outside(name) => Some(name.to_string()),
        PeerIdentity::Node(_) => None,
    };
    plan.wireguard.peers.values().filter_map(|peer| name(&peer.identity)).collect()
}

impl Progress {
    /// Whether the goal is reached, as far as agents answer.
    pub(super) fn is_reached(&self) -> bool {
        match self.outlook {
            Outlook::NoGateway => true,
            Outlook::NoAlternative | Outlook::AgentBehind => false,
            Outlook::Moving => self.waiting.is_empty() && !self.moved.is_empty(),
        }
    }

    /// Whether waiting changes nothing.
    pub(super) fn is_over(&self) -> bool {
        self.is_reached() || self.outlook == Outlook::NoAlternative
    }

    /// What the person should know beside the result.
    pub(super) fn rest(&self, node: &NodeName) -> Vec<String> {
        let mut lines = Vec::new();
        if self.goal == Goal::Drained && self.is_reached() {
            lines.push("still through the node: the traffic of its own pods and of its host".to_owned());
            if !self.outside_peers.is_empty() {
                lines.push(format!(
                    "another gateway serves these Peers now; those that only dial the node are cut off from other nodes: {}",
                    joined(&self.outside_peers)
                ));
            }
        }
        if self.outlook == Outlook::AgentBehind {
            lines.push(if self.preventing.is_empty() {
                format!("the agent of {node} has not taken the annotation: it does not answer or does not reach the API server; `carrickctl doctor {node}` names the cause")
            } else {
                format!("{node} drains once these nodes run agents of this release, which send by it now: {}", joined(&self.preventing))
            });
        }
        if self.outlook == Outlook::NoAlternative {
            lines.push("the annotation carrick.dev/drain stays, and takes effect once another gateway of the location serves; `carrickctl gateway undrain` removes it".to_owned());
        }
        if !self.unknown.is_empty() {
            lines.push(format!("not known, because their agents do not answer: {}", joined(&self.unknown)));
        }
        lines
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (moved, all) = (self.moved.len(), self.moved.len() + self.waiting.len());
        match (&self.outlook, self.goal) {
            (Outlook::NoGateway, _) => f.write_str("no other node sends by it: there is nothing to move"),
            (Outlook::NoAlternative, _) => {
                f.write_str("no other gateway of its location can take its traffic: it carries it as before")
            }
            (Outlook::AgentBehind, _) => f.write_str("its agent has not taken the annotation yet"),
            (Outlook::Moving, Goal::Drained) => write!(f, "traffic has left it on {moved} of {all} nodes"),
            (Outlook::Moving, Goal::Serving) => write!(f, "traffic goes to it again on {moved} of {all} nodes"),
        }?;
        if self.outlook == Outlook::Moving && !self.waiting.is_empty() {
            write!(f, "; not yet on {}", joined(&self.waiting))?;
        }
        Ok(())
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carrick_topology::Warning;

    use super::*;
    use crate::fetch_error::FetchError;
    use crate::fixtures::snapshot_of;
    use crate::snapshot::{Answer, Snapshot};

    fn name(text: &str) -> NodeName {
        text.parse().unwrap()
    }

    /// `a1` is the gateway of its location, and `a2` its standby gateway if there is one.
    fn mesh(has_standby: bool, drains: bool) -> Snapshot {
        let mut objects = crate::fixtures::objects();
        if drains {
            let annotations = &mut objects.nodes.get_mut("a1").unwrap().annotations;
            annotations.insert("carrick.dev/drain".to_owned(), "disk".to_owned());
        }
        let mut snapshot = snapshot_of(objects);
        for agent in &mut snapshot.agents {
            let Answer::Page(page) = &mut agent.answer else { continue };
            let mut plan = NodePlan::clone(page.plan.as_ref().unwrap());
            if has_standby && plan.location.name.as_str() == "basel" {
                plan.location.standby = [name("a2")].into();
            }
            page.plan = Some(plan.into());
        }
        snapshot
    }

    fn drained(snapshot: &mut Snapshot, by: &str) {
        let agent = snapshot.agents.iter_mut().find(|agent| agent.name == by).unwrap();
        let Answer::Page(page) = &mut agent.answer else { panic!("{by} has no page") };
        page.liveness.down.insert(name("a1"));
        page.liveness.drained.insert(name("a1"));
    }

    #[test]
    fn traffic_has_left_once_all_nodes_that_probe_the_gateway_say_so() {
        let mut snapshot = mesh(true, true);
        let text = |snapshot: &Snapshot| progress(snapshot, &name("a1"), Goal::Drained).to_string();
        assert_eq!(text(&snapshot), "traffic has left it on 0 of 2 nodes; not yet on a2, b1");
        drained(&mut snapshot, "b1");
        assert_eq!(text(&snapshot), "traffic has left it on 1 of 2 nodes; not yet on a2");
        drained(&mut snapshot, "a2");
        let end = progress(&snapshot, &name("a1"), Goal::Drained);
        assert_eq!((end.to_string().as_str(), end.is_reached()), ("traffic has left it on 2 of 2 nodes", true));
        assert_eq!(end.rest(&name("a1")), ["still through the node: the traffic of its own pods and of its host"]);
        let back = progress(&snapshot, &name("a1"), Goal::Serving);
        assert_eq!((back.outlook.clone(), back.is_reached()), (Outlook::AgentBehind, false), "the annotation is there");
    }

    #[test]
    fn the_gateway_serves_again_once_no_node_has_it_down() {
        let mut snapshot = mesh(true, false);
        let of = |snapshot: &Snapshot| progress(snapshot, &name("a1"), Goal::Serving);
        assert!(of(&snapshot).is_reached());
        drained(&mut snapshot, "b1");
        assert_eq!(of(&snapshot).to_string(), "traffic goes to it again on 1 of 2 nodes; not yet on b1");
    }

    #[test]
    fn a_gateway_without_an_alternative_ends_the_wait() {
        let end = progress(&mesh(false, true), &name("a1"), Goal::Drained);
        assert_eq!((end.outlook.clone(), end.is_over(), end.is_reached()), (Outlook::NoAlternative, true, false));
        let rest = end.rest(&name("a1"));
        assert!(rest[0].contains("`carrickctl gateway undrain` removes it"), "{rest:?}");
    }

    #[test]
    fn nodes_that_keep_a_gateway_from_draining_are_named() {
        let mut snapshot = mesh(true, false);
        let gateway = snapshot.agents.iter_mut().find(|agent| agent.name == "a1").unwrap();
        let Answer::Page(page) = &mut gateway.answer else { panic!("a1 has no page") };
        let mut plan = NodePlan::clone(page.plan.as_ref().unwrap());
        let reason = WarningReason::PreventsDrain(name("a1"));
        plan.warnings.insert(Warning::new(ObjectName::Node(name("b1")), "agent", "protocol=3", reason));
        page.plan = Some(plan.into());
        let end = progress(&snapshot, &name("a1"), Goal::Drained);
        assert_eq!(end.outlook, Outlook::AgentBehind);
        assert!(end.rest(&name("a1"))[0].ends_with("which send by it now: b1"), "{:?}", end.rest(&name("a1")));
    }

    #[test]
    fn a_node_that_is_no_gateway_has_nothing_to_move() {
        let end = progress(&mesh(true, true), &name("a2"), Goal::Drained);
        assert_eq!((end.outlook.clone(), end.is_reached()), (Outlook::NoGateway, true));
    }

    #[test]
    fn an_agent_that_does_not_take_the_annotation_is_said_and_so_are_nodes_that_do_not_answer() {
        let mut snapshot = mesh(true, false);
        snapshot.agents[2].answer = Answer::Unreachable(FetchError::Timeout(Duration::from_secs(2)));
        let end = progress(&snapshot, &name("a1"), Goal::Drained);
        assert_eq!((end.outlook.clone(), end.is_reached()), (Outlook::AgentBehind, false));
        let rest = end.rest(&name("a1")).join("\n");
        assert!(
            rest.contains("the agent of a1")
                && rest.contains("carrickctl doctor a1")
                && rest.contains("do not answer: b1"),
            "{rest}"
        );
    }
}
