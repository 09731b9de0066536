//! The annotations that an agent publishes about its node.

use std::collections::BTreeMap;
use std::fmt::Display;

use carrick_topology::Published;
use carrick_topology::model::AgentVersion;

use super::key;

/// The annotations of what an agent publishes, by key. What is empty has none.
#[must_use]
pub fn published_annotations(published: &Published) -> BTreeMap<String, String> {
    let agent = published.agent.as_ref().map(agent);
    let observed = published.observed_endpoints.iter().map(|(node, address)| format!("{node}={address}"));
    [
        (key::PUBLIC_KEY, published.public_key.map(|key| key.to_string()).unwrap_or_default()),
        (key::PUBLIC_KEY_PROOF, published.public_key_proof.map(|proof| proof.to_string()).unwrap_or_default()),
        (key::POD_CIDRS, list(&published.pod_cidrs)),
        (key::MESH_ADDRESSES, list(&published.mesh_addresses)),
        (key::ADVERTISED_ENDPOINTS, list(&published.advertised_endpoints)),
        (key::ADVERTISED_INTERNAL_ADDRESSES, list(&published.advertised_internal_addresses)),
        (key::OBSERVED_ENDPOINTS, list(observed)),
        (key::AGENT, agent.unwrap_or_default()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

fn agent(agent: &AgentVersion) -> String {
    let AgentVersion { version, protocol, settings, outside_mesh } = agent;
    let words = [format!("version={version}"), format!("protocol={protocol}"), format!("settings={settings}")];
    list(words.into_iter().chain(outside_mesh.iter().map(|network| format!("outside-mesh={network}"))))
}

fn list(elements: impl IntoIterator<Item = impl Display>) -> String {
    elements.into_iter().map(|element| element.to_string()).collect::<Vec<_>>().join(",")
}
