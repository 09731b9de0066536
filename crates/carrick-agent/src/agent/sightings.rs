//! What WireGuard sees of its peers: where NATed nodes come from, which names may have moved, which outside peers are connected.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use carrick_dataplane::Sighting;
use carrick_kube::client::ApiClient;
use carrick_kube::peer::ConditionStatus;
use carrick_kube::publish::{PeerReport, publish_peer_status};
use carrick_status::PeerState;
use carrick_topology::model::DnsName;
use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use carrick_topology::{Cluster, LocationName, NodeName, NodePlan, PeerName, PublicKey};

use super::names;

/// The peers of a plan, each with what was seen of it.
type Seen<'a> = Vec<(&'a WireGuardPeer, &'a Sighting)>;

fn seen<'a>(plan: &'a NodePlan, sightings: &'a BTreeMap<PublicKey, Sighting>) -> Seen<'a> {
    plan.wireguard.peers.iter().filter_map(|(key, peer)| Some((peer, sightings.get(key)?))).collect()
}

/// The peers as the page tells of them.
pub(super) fn peer_states(sightings: &BTreeMap<PublicKey, Sighting>) -> BTreeMap<PublicKey, PeerState> {
    let state = |sighting: &Sighting| PeerState {
        endpoint: sighting.endpoint,
        seconds_since_handshake: sighting.since_handshake.map(|since| since.as_secs()),
        received_bytes: sighting.received_bytes,
        sent_bytes: sighting.sent_bytes,
        allowed_ips: sighting.allowed_ips.iter().copied().collect(),
    };
    sightings.iter().map(|(key, sighting)| (*key, state(sighting))).collect()
}

/// Where the nodes stand that are peers.
pub(super) fn locations_of_peers(plan: &NodePlan, cluster: &Cluster) -> BTreeMap<PublicKey, LocationName> {
    let located = |(key, peer): (&PublicKey, &WireGuardPeer)| match &peer.identity {
        PeerIdentity::Node(name) => Some((*key, cluster.nodes.get(name)?.location_name())),
        PeerIdentity::Outside(_) => None,
    };
    plan.wireguard.peers.iter().filter_map(located).collect()
}

/// Where nodes without an endpoint of their own come from.
pub(super) fn observed_endpoints(
    plan: &NodePlan,
    sightings: &BTreeMap<PublicKey, Sighting>,
) -> BTreeMap<NodeName, SocketAddr> {
    let dials_in = |(peer, sighting): (&WireGuardPeer, &Sighting)| match &peer.identity {
        PeerIdentity::Node(name) if peer.endpoint.is_none() && sighting.is_connected() => {
            Some((name.clone(), sighting.endpoint?))
        }
        PeerIdentity::Node(_) | PeerIdentity::Outside(_) => None,
    };
    seen(plan, sightings).into_iter().filter_map(dials_in).collect()
}

/// Names of peers that had a session and have none any more: they may have moved.
pub(super) fn stale_names(
    cluster: &Cluster,
    plan: &NodePlan,
    sightings: &BTreeMap<PublicKey, Sighting>,
) -> Vec<DnsName> {
    let stale = seen(plan, sightings)
        .into_iter()
        .filter(|(_, sighting)| sighting.since_handshake.is_some() && !sighting.is_connected());
    let names = stale.flat_map(|(peer, _)| match &peer.identity {
        PeerIdentity::Node(name) => cluster.nodes.get(name).map(names::of_node).unwrap_or_default(),
        PeerIdentity::Outside(name) => cluster.peers.get(name).map(names::of_peer).unwrap_or_default(),
    });
    names.cloned().collect()
}

/// What was last said of the outside peers that this node serves.
pub(super) struct PeerStatuses {
    client: ApiClient,
    connected: BTreeMap<PeerName, bool>,
}

impl PeerStatuses {
    pub(super) const fn new(client: ApiClient) -> Self {
        Self { client, connected: BTreeMap::new() }
    }

    /// Writes the status of those that connected or disconnected since, in the background.
    pub(super) fn update(&mut self, plan: &NodePlan, sightings: &BTreeMap<PublicKey, Sighting>) {
        let served: BTreeMap<PeerName, bool> = seen(plan, sightings)
            .into_iter()
            .filter_map(|(peer, sighting)| match &peer.identity {
                PeerIdentity::Outside(name) => Some((name.clone(), sighting.is_connected())),
                PeerIdentity::Node(_) => None,
            })
            .collect();
        for (name, connected) in served.iter().filter(|(name, connected)| self.connected.get(*name) != Some(connected))
        {
            tokio::spawn(tell(self.client.clone(), name.clone(), plan.node.clone(), *connected));
        }
        self.connected = served;
    }
}

async fn tell(client: ApiClient, peer: PeerName, node: NodeName, connected: bool) {
    let (connected, reason, message) = if connected {
        (ConditionStatus::True, "Handshake", "the last handshake is less than three minutes old")
    } else {
        (ConditionStatus::False, "NoHandshake", "there was no handshake in the last three minutes")
    };
    let report = PeerReport { serving_node: node, connected, reason: reason.to_owned(), message: message.to_owned() };
    if let Err(error) = publish_peer_status(&client, &peer, &report, jiff::Timestamp::now()).await {
        tracing::warn!(event = "peer_status_not_written", %peer, %error);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carrick_topology::Liveness;
    use carrick_topology::model::Node;
    use carrick_topology::{Settings, plan};

    use super::*;

    fn cluster() -> Cluster {
        let mut cluster = Cluster::default();
        for (number, name) in (1_u8..).zip(["a", "nat", "named"]) {
            let mut node = Node::new(name.parse().unwrap(), 0);
            node.public_key = Some(PublicKey::from_bytes([number; 32]));
            match name {
                "nat" => node.persistent_keepalive = Some(25),
                "named" => node.endpoint = Some("gate.example".parse().unwrap()),
                _ => node.endpoint = Some("198.51.100.1".parse().unwrap()),
            }
            cluster.insert_node(node);
        }
        cluster
    }

    fn sighting(endpoint: &str, seconds: u64) -> Sighting {
        let since_handshake = Some(Duration::from_secs(seconds));
        Sighting { endpoint: Some(endpoint.parse().unwrap()), since_handshake, ..Sighting::default() }
    }

    #[test]
    fn only_nodes_that_dial_in_are_observed_and_only_names_gone_stale_are_asked_for() {
        let cluster = cluster();
        let plan = plan(&cluster, &Settings::default(), &Liveness::default(), &"a".parse().unwrap()).unwrap();
        let mut sightings = BTreeMap::from([
            (PublicKey::from_bytes([2; 32]), sighting("203.0.113.9:4000", 20)),
            (PublicKey::from_bytes([3; 32]), sighting("203.0.113.8:51820", 20)),
        ]);
        let observed = observed_endpoints(&plan, &sightings);
        assert_eq!(observed.get("nat").map(ToString::to_string).as_deref(), Some("203.0.113.9:4000"));
        assert_eq!(stale_names(&cluster, &plan, &sightings), []);

        sightings.insert(PublicKey::from_bytes([2; 32]), sighting("203.0.113.9:4000", 200));
        sightings.insert(PublicKey::from_bytes([3; 32]), sighting("203.0.113.8:51820", 200));
        assert!(!observed_endpoints(&plan, &sightings).contains_key("nat"));
        let names = stale_names(&cluster, &plan, &sightings);
        assert_eq!(names.iter().map(DnsName::as_str).collect::<Vec<_>>(), ["gate.example"]);
    }
}
