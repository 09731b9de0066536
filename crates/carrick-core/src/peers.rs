//! What WireGuard shows of its peers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use carrick_topology::plan::{PeerIdentity, WireGuardPeer};
use carrick_topology::{MOST_OBSERVED_ENDPOINTS_BYTES, NodeName, NodePlan, PeerName, PublicKey};

/// A WireGuard peer as the device shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerObservation {
    /// Where the peer's packets last came from, or where it is dialled.
    pub endpoint: Option<SocketAddr>,
    /// Its session.
    pub session: Session,
}

/// The session with a WireGuard peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// There was no handshake since the peer was configured.
    None,
    /// The last handshake is recent enough for the session to be in use (`REJECT_AFTER_TIME`, WireGuard paper §6.1).
    Live,
    /// There was a handshake, too long ago.
    Expired,
}

/// Whether an outside peer is connected to the node that serves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerConnection {
    /// The session is live.
    Connected,
    /// It is not.
    Disconnected,
}

/// The peers of a plan, each with what the device shows of it.
pub(crate) fn observed_peers<'a>(
    plan: &'a NodePlan,
    observations: &'a BTreeMap<PublicKey, PeerObservation>,
) -> impl Iterator<Item = (&'a WireGuardPeer, &'a PeerObservation)> {
    plan.wireguard.peers.iter().filter_map(|(key, peer)| Some((peer, observations.get(key)?)))
}

/// Where nodes without an endpoint of their own come from: as many as can be published, in the order of their names.
pub(crate) fn observed_endpoints(
    plan: &NodePlan,
    observations: &BTreeMap<PublicKey, PeerObservation>,
) -> BTreeMap<NodeName, SocketAddr> {
    let dials_in = |(peer, seen): (&WireGuardPeer, &PeerObservation)| match &peer.identity {
        PeerIdentity::Node(name) if peer.endpoint.is_none() && seen.session == Session::Live => {
            Some((name.clone(), seen.endpoint?))
        }
        PeerIdentity::Node(_) | PeerIdentity::Outside(_) => None,
    };
    let observed: BTreeMap<NodeName, SocketAddr> = observed_peers(plan, observations).filter_map(dials_in).collect();
    let mut bytes = 0;
    let fits = |(name, endpoint): &(NodeName, SocketAddr)| {
        bytes += name.as_str().len() + endpoint.to_string().len() + "=,".len();
        bytes <= MOST_OBSERVED_ENDPOINTS_BYTES
    };
    observed.into_iter().take_while(fits).collect()
}

/// The outside peers that this node serves.
pub(crate) fn served_peers(
    plan: &NodePlan,
    observations: &BTreeMap<PublicKey, PeerObservation>,
) -> BTreeMap<PeerName, PeerConnection> {
    let served = |(peer, seen): (&WireGuardPeer, &PeerObservation)| {
        let connection = match seen.session {
            Session::Live => PeerConnection::Connected,
            Session::None | Session::Expired => PeerConnection::Disconnected,
        };
        match &peer.identity {
            PeerIdentity::Outside(name) => Some((name.clone(), connection)),
            PeerIdentity::Node(_) => None,
        }
    };
    observed_peers(plan, observations).filter_map(served).collect()
}
