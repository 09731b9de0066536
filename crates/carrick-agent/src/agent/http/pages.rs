//! The pages, and who may read which of them.

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use carrick_core::Readiness;
use carrick_status::StatusPage;

use crate::agent::checks::Checks;
use crate::agent::live_trace::{NoTrace, Question, Tracer};
use crate::agent::status::Status;

/// The media type of the OpenMetrics text format 1.0.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The pages for root on the node, and for users who may execute commands in the agent's container.
const PRIVATE: [&str; 3] = ["/status", "/checks", "/trace"];

/// The answer to a request for one of [`PRIVATE`] over TCP.
const REFUSAL: &str = "the agent serves this page on its Unix socket only: run `carrickctl`, or `carrick page` in the agent's container\n";

/// The pages for the kubelet and for monitoring. The others are refused with a hint.
pub(super) fn public_pages(status: Status) -> Router {
    let refused = || get(async || (StatusCode::FORBIDDEN, REFUSAL));
    PRIVATE.into_iter().fold(common_pages(status), |pages, path| pages.route(path, refused()))
}

/// The pages that need no more than the status: those for the kubelet and for monitoring, and `/status`.
pub(super) fn private_pages(status: Status) -> Router {
    common_pages(status.clone()).merge(Router::new().route("/status", get(status_page)).with_state(status))
}

/// All pages.
pub(super) fn all_pages(status: Status, checks: Checks) -> Router {
    private_pages(status.clone()).merge(checks_page(checks)).merge(trace_page(Tracer::new(status)))
}

fn common_pages(status: Status) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(status)
}

/// What the agent finds when it examines its node.
fn checks_page(checks: Checks) -> Router {
    Router::new()
        .route("/checks", get(async |State(checks): State<Checks>| Json(checks.page().await)))
        .with_state(checks)
}

/// Which hosts answer probes that the node sends along a path.
fn trace_page(tracer: Tracer) -> Router {
    Router::new().route("/trace", get(trace)).with_state(tracer)
}

async fn healthz(State(status): State<Status>) -> (StatusCode, &'static str) {
    if status.is_healthy() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the event loop is blocked\n")
    }
}

async fn readyz(State(status): State<Status>) -> (StatusCode, String) {
    match status.readiness() {
        (Readiness::Ready, body) => (StatusCode::OK, body),
        (Readiness::NotReady, body) => (StatusCode::SERVICE_UNAVAILABLE, body),
    }
}

async fn metrics(State(status): State<Status>) -> Response {
    match status.metrics().encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn trace(State(tracer): State<Tracer>, Query(question): Query<Question>) -> Response {
    match tracer.page(question).await {
        Ok(page) => Json(page).into_response(),
        Err(refusal @ NoTrace::NoPlan) => (StatusCode::SERVICE_UNAVAILABLE, format!("{refusal}\n")).into_response(),
        Err(refusal @ NoTrace::Elsewhere(_)) => (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response(),
    }
}

async fn status_page(State(status): State<Status>) -> Json<StatusPage> {
    Json(status.page())
}

#[cfg(test)]
mod tests;
