//! The state of WireGuard's peers, for the core, the page `/status` and the metrics.

use std::collections::BTreeMap;

use carrick_core::{PeerObservation, Session};
use carrick_dataplane::Sighting;
use carrick_status::PeerState;
use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use carrick_topology::{Cluster, LocationName, NodePlan, PublicKey};

/// The peers as the core needs to know them.
pub(super) fn observations(sightings: &BTreeMap<PublicKey, Sighting>) -> BTreeMap<PublicKey, PeerObservation> {
    let observation = |sighting: &Sighting| PeerObservation {
        endpoint: sighting.endpoint,
        session: match sighting.since_handshake {
            None => Session::None,
            Some(_) if sighting.is_connected() => Session::Live,
            Some(_) => Session::Expired,
        },
    };
    sightings.iter().map(|(key, sighting)| (*key, observation(sighting))).collect()
}

/// The peers as the page shows them.
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

/// The locations of the nodes that are peers.
pub(super) fn locations_of_peers(plan: &NodePlan, cluster: &Cluster) -> BTreeMap<PublicKey, LocationName> {
    let located = |(key, peer): (&PublicKey, &WireGuardPeer)| match &peer.identity {
        PeerIdentity::Node(name) => Some((*key, cluster.nodes.get(name)?.location_name())),
        PeerIdentity::Outside(_) => None,
    };
    plan.wireguard.peers.iter().filter_map(located).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_session_is_live_for_three_minutes_after_its_handshake() {
        let session = |since_handshake: Option<u64>| {
            let sighting =
                Sighting { since_handshake: since_handshake.map(Duration::from_secs), ..Sighting::default() };
            observations(&[(PublicKey::from_bytes([1; 32]), sighting)].into()).into_values().next().unwrap().session
        };
        assert_eq!(session(None), Session::None);
        assert_eq!(session(Some(179)), Session::Live);
        assert_eq!(session(Some(180)), Session::Expired);
    }
}
