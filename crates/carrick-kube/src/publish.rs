//! Writes to the API: the agent's own annotations, the status of peers that it serves, Events.
//!
//! Nothing is written that the API shows already: in a steady cluster the agent writes nothing at all.

mod annotations;
mod event;
mod event_limiter;
mod peer_status;

use std::time::Duration;

use kube::core::Status;
use thiserror::Error;
use tokio::time::timeout;

pub use annotations::publish_annotations;
pub use event::{fault_event, is_picked, is_reporter, publish_event, publish_fault};
pub use event_limiter::EventLimiter;
pub use peer_status::{PeerReport, publish_peer_status};

/// The field manager under which the agent applies, see
/// <https://kubernetes.io/docs/reference/using-api/server-side-apply/>.
pub const FIELD_MANAGER: &str = "carrick";

/// The answer to a write must come within this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why something was not written. Every kind may be tried again, after a pause.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The object was deleted, or another object has its name. The caller must decide again what to write.
    #[error("the {0} was deleted or created again in the meantime")]
    Replaced(&'static str),
    /// The server forbids the write, by RBAC or by an admission policy. What to do about it is in the reason.
    #[error("the API server refuses the write: {0}")]
    Refused(String),
    /// The server failed, or could not be reached.
    #[error(transparent)]
    Client(#[from] kube::Error),
    /// The server did not answer.
    #[error("no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
}

/// The answer, within the limit. `object` is written of.
async fn answer<T>(object: &'static str, request: impl Future<Output = kube::Result<T>>) -> Result<T, PublishError> {
    match timeout(ANSWER_LIMIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if says_replaced(&status) => Err(PublishError::Replaced(object)),
        Ok(Err(kube::Error::Api(status))) if says_refused(&status) => {
            Err(PublishError::Refused(status.message.clone()))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(PublishError::NoAnswer(ANSWER_LIMIT)),
    }
}

/// RBAC or an admission policy refused the write. A policy whose evaluation costs too much makes the object invalid.
fn says_refused(status: &Status) -> bool {
    match status.code {
        403 => true,
        422 => status.message.contains("ValidatingAdmissionPolicy"),
        _ => false,
    }
}

/// Writes name the UID that they are meant for. On another object of that name the server finds it invalid, on none a conflict.
fn says_replaced(status: &Status) -> bool {
    match status.code {
        404 | 409 => true,
        422 => status.message.contains("metadata.uid"),
        _ => false,
    }
}
