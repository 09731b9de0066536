//! Errors in the API's own form: a `Status` object.

use std::time::Duration;

use serde_json::{Value, json};

use crate::resource::Key;

/// Why the server rejected a request, as a client sees it in a `Status`
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code} {})", reason.as_str())]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// The reason, for programs.
    pub reason: Reason,
    /// The reason, for people.
    pub message: String,
    /// How long the client should wait before it tries again.
    pub retry_after: Option<Duration>,
}

/// The reasons that this server uses, out of apimachinery's `StatusReason`.
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
    /// 410: the resource version is older than the history that the server keeps.
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
    #[must_use]
    pub const fn as_str(self) -> &'static str {
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

    const fn code(self) -> u16 {
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
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { code: reason.code(), reason, message: message.into(), retry_after: None }
    }

    pub(crate) fn not_found(key: &Key) -> Self {
        Self::new(Reason::NotFound, format!("{} {:?} not found", key.resource, key.name))
    }

    pub(crate) fn already_exists(key: &Key) -> Self {
        Self::new(Reason::AlreadyExists, format!("{} {:?} already exists", key.resource, key.name))
    }

    pub(crate) fn bad_request(why: impl std::fmt::Display) -> Self {
        Self::new(Reason::BadRequest, why.to_string())
    }

    pub(crate) fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(Reason::Expired, format!("too old resource version: {asked} ({oldest})"))
    }

    pub(crate) fn too_many_requests(retry_after: Duration) -> Self {
        let message = "the server has received too many requests and has asked us to try again later";
        Self { retry_after: Some(retry_after), ..Self::new(Reason::TooManyRequests, message) }
    }

    /// The `Status` object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason.as_str(), "code": self.code,
        });
        if let Some(after) = self.retry_after {
            status["details"] = json!({ "retryAfterSeconds": after.as_secs() });
        }
        status
    }
}
