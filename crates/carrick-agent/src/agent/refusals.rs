//! Tells of writes that the API server refuses: on the page `/status`, and by a Kubernetes Event.

use std::sync::{Arc, Mutex, PoisonError};

use carrick_kube::client::ApiClient;
use carrick_kube::own_node::OwnNode;
use carrick_kube::publish::publish_refusal;
use carrick_status::AgentEventKind;

use super::status::Status;

/// Tells each reason once, until another one comes.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    status: Status,
    last: Arc<Mutex<Option<String>>>,
}

impl Refusals {
    pub(super) fn new(status: Status) -> Self {
        Self { status, last: Arc::default() }
    }

    /// The own annotations were refused, for this reason.
    pub(super) async fn tell(&self, client: &ApiClient, own_node: &OwnNode, reason: &str) {
        let before = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(reason.to_owned());
        if before.as_deref() == Some(reason) {
            return;
        }
        self.status.add_event(AgentEventKind::Failure, reason.to_owned());
        if let Err(error) = publish_refusal(client, own_node, reason, jiff::Timestamp::now()).await {
            tracing::debug!(event = "event_not_written", %error);
        }
    }
}
