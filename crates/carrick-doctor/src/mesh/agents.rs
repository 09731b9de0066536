//! Checks of the agents themselves: they answer, and have the same version and settings.

use std::collections::BTreeMap;

use carrick_topology::{NodeName, Settings};

use crate::finding::listed;
use crate::{Agent, Check, Finding, Observations};

/// Every agent answers.
pub(super) fn reachable(observations: &Observations) -> Vec<Finding> {
    let unreachable = observations.agents.iter().filter_map(|(node, agent)| match agent {
        Agent::Unreachable(reason) => Some((node, reason)),
        Agent::Answered(_) => None,
    });
    let nodes = unreachable.map(|(node, reason)| {
        Finding::problem(
            Check::AgentReachable,
            format!("the agent does not answer: {reason}; {}", last_handshake(observations, node)),
            "check the node, its agent's pod, and the agent's log",
        )
        .on(node)
    });
    let unidentified = observations.unidentified.iter().map(|(place, reason)| {
        Finding::problem(
            Check::AgentReachable,
            format!("no agent answers at {place}: {reason}"),
            "check the node, its agent's pod, and the agent's log",
        )
    });
    nodes.chain(unidentified).collect()
}

/// The age of the last handshake that another node had with the node. It distinguishes an agent that is down from a node that is down.
fn last_handshake(observations: &Observations, node: &NodeName) -> String {
    let heard = observations.answered().filter_map(|(_, pages)| {
        let peers = &pages.plan()?.wireguard.peers;
        let (key, _) = peers.iter().find(|(_, peer)| super::tunnel::is_node(peer, node))?;
        pages.latest()?.wireguard_device()?.peers.get(key)?.seconds_since_handshake
    });
    match heard.min() {
        Some(seconds) => format!("another node had a WireGuard handshake with the node {seconds} s ago"),
        None => "no other node has had a WireGuard handshake with the node".to_owned(),
    }
}

/// All agents run the same version.
pub(super) fn version(observations: &Observations) -> Vec<Finding> {
    let versions: BTreeMap<&NodeName, &str> =
        observations.answered().map(|(node, pages)| (node, pages.status.version.as_str())).collect();
    let Some(usual) = most_common(versions.values().copied()) else { return Vec::new() };
    let mut findings: Vec<Finding> = versions
        .iter()
        .filter(|(_, version)| **version != usual)
        .map(|(node, version)| {
            Finding::warning(
                Check::AgentVersion,
                format!("the agent has version {version}, most agents have {usual}"),
                "finish the upgrade, so that all agents have the same version",
            )
            .on(node)
        })
        .collect();
    let without = observations.answered().filter(|(_, pages)| pages.checks.is_none());
    findings.extend(without.map(|(node, pages)| {
        Finding::warning(
            Check::AgentVersion,
            format!(
                "the agent, version {}, does not serve the page /checks: most checks of this node are skipped",
                pages.status.version
            ),
            "upgrade the agent",
        )
        .on(node)
    }));
    findings
}

/// All agents have the same shared settings.
pub(super) fn shared_settings(observations: &Observations) -> Vec<Finding> {
    let settings: BTreeMap<&NodeName, &Settings> =
        observations.answered().filter_map(|(node, pages)| Some((node, pages.status.settings.as_deref()?))).collect();
    let hashes: BTreeMap<&NodeName, String> =
        settings.iter().map(|(node, settings)| (*node, settings.shared_hash())).collect();
    let Some(usual) = most_common(hashes.values().map(String::as_str)) else { return Vec::new() };
    let Some(example) = hashes.iter().find(|(_, hash)| *hash == usual).map(|(node, _)| *node) else {
        return Vec::new();
    };
    let others = hashes.iter().filter(|(_, hash)| *hash != usual);
    let findings = others.map(|(node, _)| {
        let differences = differences(settings[node], settings[example]);
        Finding::problem(
            Check::SharedSettings,
            format!("the settings differ from those of most agents (such as {example}): {}", listed(differences)),
            "set them in the Mesh, or give all agents the same flags",
        )
        .on(node)
    });
    findings.collect()
}

/// The flags that differ, each with both values.
fn differences(one: &Settings, usual: &Settings) -> Vec<String> {
    let pairs = one.shared().by_flag().into_iter().zip(usual.shared().by_flag());
    pairs
        .filter(|((_, one), (_, usual))| one != usual)
        .map(|((flag, one), (_, usual))| {
            format!("{flag} {} instead of {}", one.unwrap_or_default(), usual.unwrap_or_default())
        })
        .collect()
}

/// The most common value; the greatest one if several are equally common.
fn most_common<'a>(values: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(value, count)| (*count, *value)).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use carrick_topology::Settings;

    use crate::fixtures::diagnosed;

    #[test]
    fn an_unreachable_agent_is_reported_with_the_age_of_the_last_handshake() {
        let found = diagnosed(|mesh| mesh.set_unreachable("a1", "connection refused"));
        assert_eq!(found.problems(), ["agent-reachable a1"]);
        assert!(
            found.texts().contains("connection refused; another node had a WireGuard handshake with the node 10 s ago"),
            "{}",
            found.texts()
        );
    }

    #[test]
    fn an_agent_of_another_version_is_named() {
        let found = diagnosed(|mesh| mesh.status("b1").version = "0.0.9".to_owned());
        assert_eq!(found.warnings(), ["agent-version b1"]);
        let found = diagnosed(|mesh| mesh.pages("b1").checks = None);
        assert_eq!(found.warnings(), ["agent-version b1"]);
    }

    #[test]
    fn differing_settings_are_named_by_their_flag() {
        let other = Settings { standby_gateways: 3, ..Settings::default() };
        let found = diagnosed(|mesh| mesh.status("a2").settings = Some(Arc::new(other)));
        assert_eq!(found.problems(), ["shared-settings a2"]);
        assert!(found.texts().contains("--standby-gateways 3 instead of 0"), "{}", found.texts());
    }
}
