//! The keys of Carrick's annotations: [`PREFIX`] and a word.

use carrick_topology::MOST_OBSERVED_ENDPOINTS_BYTES;

/// The prefix of Carrick's keys.
pub const PREFIX: &str = "carrick.dev/";

/// People's: the location's name.
pub const LOCATION: &str = "carrick.dev/location";
/// People's: the endpoint, `host:port`.
pub const ENDPOINT: &str = "carrick.dev/endpoint";
/// People's: CIDRs, or `none`.
pub const INTERNAL_ADDRESSES: &str = "carrick.dev/internal-addresses";
/// People's: `preferred` or `never`.
pub const GATEWAY: &str = "carrick.dev/gateway";
/// People's: `preferred` or `never`.
pub const RELAY: &str = "carrick.dev/relay";
/// People's: seconds, as `25` or `25s`; 0 turns it off.
pub const PERSISTENT_KEEPALIVE: &str = "carrick.dev/persistent-keepalive";
/// People's: CIDRs inside the node's location.
pub const ALLOWED_LOCATION_CIDRS: &str = "carrick.dev/allowed-location-cidrs";
/// People's: why the node gives the traffic that it carries as a gateway to others, as text.
pub const DRAIN: &str = "carrick.dev/drain";
/// People's: why `carrickctl nodes prune` keeps the Node, as text.
pub const HOLD: &str = "carrick.dev/hold";

/// The agent's: its WireGuard public key.
pub const PUBLIC_KEY: &str = "carrick.dev/public-key";
/// The agent's: the proof that it holds the private key.
pub const PUBLIC_KEY_PROOF: &str = "carrick.dev/public-key-proof";
/// The agent's: the node's pod CIDRs.
pub const POD_CIDRS: &str = "carrick.dev/pod-cidrs";
/// The agent's: the node's addresses on the mesh.
pub const MESH_ADDRESSES: &str = "carrick.dev/mesh-addresses";
/// The agent's: the endpoints that it found.
pub const ADVERTISED_ENDPOINTS: &str = "carrick.dev/advertised-endpoints";
/// The agent's: the internal addresses that it found, with the length of their subnet.
pub const ADVERTISED_INTERNAL_ADDRESSES: &str = "carrick.dev/advertised-internal-addresses";
/// The agent's: where it sees NATed nodes come from, as `node=address:port`.
pub const OBSERVED_ENDPOINTS: &str = "carrick.dev/observed-endpoints";
/// The agent's: `version=…,protocol=…,settings=…`, and `outside-mesh=NETWORK` for each network that the node reaches outside the mesh.
pub const AGENT: &str = "carrick.dev/agent";

/// The keys that people set. Neither an agent nor a kubelet may write them.
pub const PEOPLES: [&str; 9] =
    [LOCATION, ENDPOINT, INTERNAL_ADDRESSES, GATEWAY, RELAY, DRAIN, PERSISTENT_KEEPALIVE, ALLOWED_LOCATION_CIDRS, HOLD];

/// The keys that the agent owns. No other client may set them.
pub const AGENTS: [&str; 8] = [
    PUBLIC_KEY,
    PUBLIC_KEY_PROOF,
    POD_CIDRS,
    MESH_ADDRESSES,
    ADVERTISED_ENDPOINTS,
    ADVERTISED_INTERNAL_ADDRESSES,
    OBSERVED_ENDPOINTS,
    AGENT,
];

/// The most bytes of an agent's annotation that are read. `deploy/policy.yaml` has the same rule. More than that is no list that an agent makes, and
/// would burden all agents.
pub(crate) fn most_bytes_of_agents(key: &str) -> Option<usize> {
    match key {
        OBSERVED_ENDPOINTS => Some(MOST_OBSERVED_ENDPOINTS_BYTES),
        AGENT => Some(8192),
        _ => AGENTS.contains(&key).then_some(512),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_dictionary_of_the_fuzzer_has_every_key() {
        let dictionary = include_str!("../../../../fuzz/dictionaries/annotations.dict");
        let words = dictionary.lines().map(|line| line.trim_matches('"'));
        let listed: BTreeSet<&str> = words.filter(|word| word.starts_with(PREFIX)).collect();
        assert_eq!(listed, PEOPLES.into_iter().chain(AGENTS).collect());
    }
}
