//! The status of the peers that this node serves.

use carrick_topology::{NodeName, PeerName};
use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::{FIELD_MANAGER, PublishError, answer};
use crate::client::ApiClient;
use crate::peer::{CONNECTED, ConditionStatus, Peer, PeerCondition, PeerStatus};

/// The state of a peer, from its serving node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerReport {
    /// The node that serves it.
    pub serving_node: NodeName,
    /// Whether it is connected.
    pub connected: ConditionStatus,
    /// Why, as one word in camel case that begins with a capital.
    pub reason: String,
    /// Why, for people.
    pub message: String,
}

/// Writes a peer's status, if it differs from what the API shows. `now` becomes the time of the transition.
///
/// Call this when the peer connects or disconnects, or when the serving node changes, and not at every handshake.
///
/// # Errors
/// See [`PublishError`].
pub async fn publish_peer_status(
    api: &ApiClient,
    name: &PeerName,
    report: &PeerReport,
    now: Timestamp,
) -> Result<(), PublishError> {
    let peers: Api<Peer> = Api::all(api.client());
    let peer = answer("Peer", peers.get(name.as_str())).await?;
    let Some(status) = next_status(peer.status.as_ref(), peer.metadata.generation, report, now) else {
        return Ok(());
    };
    let patch = json!({
        "apiVersion": "carrick.dev/v1alpha1", "kind": "Peer",
        "metadata": {"name": name.as_str(), "uid": peer.metadata.uid},
        "status": status,
    });
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    answer("Peer", peers.patch_status(name.as_str(), &apply, &Patch::Apply(&patch))).await?;
    tracing::info!(event = "peer_status", peer = %name, connected = ?report.connected, reason = %report.reason);
    Ok(())
}

/// The status to write. `None` if the API shows the same. The time changes only with the condition.
fn next_status(
    shown: Option<&PeerStatus>,
    generation: Option<i64>,
    report: &PeerReport,
    now: Timestamp,
) -> Option<PeerStatus> {
    let before = shown.and_then(|status| status.conditions.iter().find(|condition| condition.type_ == CONNECTED));
    let unchanged = before.filter(|condition| condition.status == report.connected);
    let since = unchanged.map_or_else(|| in_seconds(now), |condition| condition.last_transition_time.clone());
    let next = PeerStatus {
        serving_node: Some(report.serving_node.to_string()),
        conditions: vec![PeerCondition {
            type_: CONNECTED.to_owned(),
            status: report.connected,
            observed_generation: generation,
            last_transition_time: since,
            reason: report.reason.clone(),
            message: report.message.clone(),
        }],
    };
    (shown != Some(&next)).then_some(next)
}

/// RFC 3339 in whole seconds, as Kubernetes writes it.
fn in_seconds(now: Timestamp) -> String {
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(connected: ConditionStatus, message: &str) -> PeerReport {
        PeerReport {
            serving_node: "a".parse().unwrap(),
            connected,
            reason: "Handshake".into(),
            message: message.into(),
        }
    }

    #[test]
    fn the_same_status_is_not_written_again() {
        let [early, late] = [1_000, 2_000].map(|second| Timestamp::from_second(second).unwrap());
        let first = next_status(None, Some(1), &report(ConditionStatus::True, "x"), early).unwrap();
        assert_eq!(first.conditions[0].last_transition_time, "1970-01-01T00:16:40Z");
        assert_eq!(next_status(Some(&first), Some(1), &report(ConditionStatus::True, "x"), late), None);

        let reworded = next_status(Some(&first), Some(1), &report(ConditionStatus::True, "y"), late).unwrap();
        assert_eq!(reworded.conditions[0].last_transition_time, first.conditions[0].last_transition_time);
        let lost = next_status(Some(&reworded), Some(1), &report(ConditionStatus::False, "y"), late).unwrap();
        assert_eq!(lost.conditions[0].last_transition_time, "1970-01-01T00:33:20Z");
    }
}
