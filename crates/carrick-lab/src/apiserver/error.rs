//! Refusals, in the API's own form: a `Status` object.

use std::time::Duration;

use serde_json::{Value, json};

use super::resource::Key;

/// Why a request was refused; what a client sees as `Status`
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code} {})", reason.as_str())]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// The reason that programs read.
    pub reason: Reason,
    /// The reason that people read.
    pub message: String,
    /// The fields that another manager owns, with [`Reason::Conflict`] from server-side apply.
    pub conflicts: Vec<Conflict>,
    /// When the client should come back.
    pub retry_after: Option<Duration>,
}

/// One field that a server-side apply would have taken from its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The field manager that owns it.
    pub manager: String,
    /// The field, such as `.metadata.annotations.example.org/key`.
    pub field: String,
}

/// The reasons that this server gives, of those in apimachinery's `StatusReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// 400.
    BadRequest,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 409, on creation.
    AlreadyExists,
    /// 409, on change.
    Conflict,
    /// 410: the resource version lies before the history that is kept.
    Expired,
    /// 415.
    UnsupportedMediaType,
    /// 422.
    Invalid,
    /// 429.
    TooManyRequests,
}

impl Reason {
    /// The word in `Status.reason`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Expired => 410,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
        }
    }
}

impl ApiError {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { code: reason.code(), reason, message: message.into(), conflicts: Vec::new(), retry_after: None }
    }

    pub(super) fn not_found(key: &Key) -> Self {
        Self::new(Reason::NotFound, format!("{} {:?} not found", key.resource, key.name))
    }

    pub(super) fn already_exists(key: &Key) -> Self {
        Self::new(Reason::AlreadyExists, format!("{} {:?} already exists", key.resource, key.name))
    }

    pub(super) fn conflict(key: &Key, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {:?}: {why}", key.resource, key.name);
        Self::new(Reason::Conflict, message)
    }

    pub(super) fn bad_request(why: impl std::fmt::Display) -> Self {
        Self::new(Reason::BadRequest, why.to_string())
    }

    pub(super) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(Reason::Expired, format!("too old resource version: {asked} ({oldest})"))
    }

    pub(super) fn field_conflicts(conflicts: Vec<Conflict>) -> Self {
        let list: Vec<_> = conflicts.iter().map(|c| format!("conflict with {:?}: {}", c.manager, c.field)).collect();
        let message = format!("Apply failed with {} conflicts: {}", list.len(), list.join("; "));
        Self { conflicts, ..Self::new(Reason::Conflict, message) }
    }

    pub(super) fn too_many_requests(retry_after: Duration) -> Self {
        let message = "the server has received too many requests and has asked us to try again later";
        Self { retry_after: Some(retry_after), ..Self::new(Reason::TooManyRequests, message) }
    }

    /// The `Status` object.
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason.as_str(), "code": self.code,
        });
        if let Some(after) = self.retry_after {
            status["details"] = json!({ "retryAfterSeconds": after.as_secs() });
        } else if !self.conflicts.is_empty() {
            let causes: Vec<_> = self
                .conflicts
                .iter()
                .map(|c| {
                    let message = format!("conflict with {:?}", c.manager);
                    json!({ "reason": "FieldManagerConflict", "message": message, "field": c.field })
                })
                .collect();
            status["details"] = json!({ "causes": causes });
        }
        status
    }
}
