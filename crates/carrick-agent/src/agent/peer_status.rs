//! The status of outside peers that this node serves.

use carrick_core::{PeerConnection, WriteOutcome};
use carrick_kube::client::ApiClient;
use carrick_kube::peer::ConditionStatus;
use carrick_kube::publish::{PeerReport, PublishError, publish_peer_status};
use carrick_kube::with_causes;
use carrick_topology::{NodeName, PeerName};

/// Writes the status of a peer that `serving_node` serves.
pub(super) async fn write_peer_status(
    client: &ApiClient,
    peer: &PeerName,
    serving_node: NodeName,
    connection: PeerConnection,
) -> WriteOutcome {
    let (connected, reason, message) = match connection {
        PeerConnection::Connected => {
            (ConditionStatus::True, "Handshake", "the last handshake is less than three minutes old")
        }
        PeerConnection::Disconnected => {
            (ConditionStatus::False, "NoHandshake", "there was no handshake in the last three minutes")
        }
    };
    let report = PeerReport { serving_node, connected, reason: reason.to_owned(), message: message.to_owned() };
    match publish_peer_status(client, peer, &report, jiff::Timestamp::now()).await {
        Ok(()) => WriteOutcome::Complete,
        Err(error) => {
            tracing::warn!(event = "peer_status_not_written", %peer, error = with_causes(&error));
            outcome_of(&error)
        }
    }
}

/// How a write ended that was not carried out.
pub(super) const fn outcome_of(error: &PublishError) -> WriteOutcome {
    match error {
        PublishError::Refused(_) => WriteOutcome::Refused,
        PublishError::Replaced(_) | PublishError::Client(_) | PublishError::NoAnswer(_) => WriteOutcome::Failed,
    }
}
