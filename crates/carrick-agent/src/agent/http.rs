//! The agent's own pages: health, readiness, metrics, and for people on the node its whole status.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router};
use carrick_status::StatusPage;
use tokio::net::{TcpListener, UnixListener};

use super::AgentError;
use super::checks::Checks;
use super::live_trace::{NoTrace, Question, Tracer};
use super::status::Status;
use crate::cli::{AgentOptions, MetricsListen};

/// The media type of the OpenMetrics text format 1.0.0.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where the private pages are served besides, in the directory of runtime files.
const SOCKET: &str = "agent.sock";

/// How often a node's address that cannot be listened on is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// Serves all pages on `--listen` and on a socket in `--run-dir`, and those for others on `--metrics-listen` if that is an address.
///
/// # Errors
/// An address cannot be listened on.
pub(super) async fn start(options: &AgentOptions, status: Status, checks: Checks) -> Result<(), AgentError> {
    let listener = listen(options.listen, "--listen").await?;
    let private =
        private_pages(status.clone()).merge(checks_page(checks)).merge(trace_page(Tracer::new(status.clone())));
    tokio::spawn(serve(listener, private.clone()));
    match listen_on_socket(&options.run_dir) {
        Ok(listener) => drop(tokio::spawn(serve(listener, private))),
        // The mesh does without: only `carrickctl --local` needs it.
        Err(error) => tracing::warn!(event = "socket_not_served", directory = %options.run_dir.display(), %error),
    }
    if let MetricsListen::Address(address) = options.metrics_listen {
        let listener = listen(address, "--metrics-listen").await?;
        tokio::spawn(serve(listener, public_pages(status)));
    }
    Ok(())
}

/// Serves the pages for others on the node's address, once it can be listened on.
pub(super) async fn serve_on_node(address: SocketAddr, status: Status) {
    let mut told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !told => {
                told = true;
                tracing::warn!(event = "metrics_not_served", %address, %error, "trying again; see --metrics-listen");
            }
            Err(error) => tracing::debug!(event = "metrics_not_served", %address, %error),
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    };
    tracing::info!(event = "metrics_served", %address);
    serve(listener, public_pages(status)).await;
}

/// What others may see.
fn public_pages(status: Status) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(status)
}

/// What people on the node may see.
fn private_pages(status: Status) -> Router {
    public_pages(status.clone()).merge(Router::new().route("/status", get(status_page)).with_state(status))
}

/// What the agent finds when it looks at its node.
fn checks_page(checks: Checks) -> Router {
    Router::new()
        .route("/checks", get(async |State(checks): State<Checks>| Json(checks.page().await)))
        .with_state(checks)
}

/// What probes find that the node sends along a way.
fn trace_page(tracer: Tracer) -> Router {
    Router::new().route("/trace", get(trace)).with_state(tracer)
}

async fn listen(address: SocketAddr, flag: &str) -> Result<TcpListener, AgentError> {
    let refused = |error: io::Error| {
        AgentError::Configuration(format!("{flag} {address}: {error} (does another agent run here?)"))
    };
    TcpListener::bind(address).await.map_err(refused)
}

/// Listens on a socket that only root may use. Whatever has its name, as the socket of an agent that died, is replaced at once: whoever
/// got as far as this is the one agent here, by `--listen`.
fn listen_on_socket(directory: &Path) -> io::Result<UnixListener> {
    let (socket, fresh) = (directory.join(SOCKET), directory.join(format!("{SOCKET}.new")));
    carrick_files::remove_file_if_present(&fresh)?;
    let listener = UnixListener::bind(&fresh)?;
    std::fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    std::fs::rename(&fresh, &socket)?;
    Ok(listener)
}

async fn serve<L>(listener: L, pages: Router)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    if let Err(error) = axum::serve(listener, pages).await {
        tracing::error!(event = "http_ended", %error);
    }
}

async fn healthz(State(status): State<Status>) -> (StatusCode, &'static str) {
    if status.is_healthy() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop is stuck\n")
    }
}

async fn readyz(State(status): State<Status>) -> (StatusCode, String) {
    match status.readiness() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
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
mod tests {
    use carrick_topology::Settings;
    use carrick_topology::model::PublicKey;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;
    use crate::agent::kernel::Outcome;
    use carrick_core::{ApplyOutcome, Cause, Core, DriftKind};

    fn core() -> Core {
        Core::new("me".parse().unwrap(), PublicKey::from_bytes([1; 32]), Settings::default(), 7)
    }

    fn outcome(cause: Cause, outcome: ApplyOutcome) -> Outcome {
        Outcome {
            cause,
            outcome,
            operations: 4,
            took: Duration::from_millis(3),
            phases: carrick_dataplane::Phases { firewall: Duration::from_millis(1), ..Default::default() },
            sightings: std::collections::BTreeMap::new(),
            handover: carrick_topology::handover::HandoverInForce::default(),
            failures: Vec::new(),
        }
    }

    /// The status code and the whole answer.
    async fn fetch(pages: Router, path: &str) -> (u16, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, pages));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }

    #[tokio::test]
    async fn health_needs_a_turning_loop() {
        let status = Status::new("me".parse().unwrap());
        assert_eq!(fetch(public_pages(status.clone()), "/healthz").await.0, 503);
        status.turn(&core());
        assert_eq!(fetch(public_pages(status), "/healthz").await.0, 200);
    }

    #[tokio::test]
    async fn readiness_says_what_is_missing() {
        let status = Status::new("me".parse().unwrap());
        status.turn(&core());
        let (code, answer) = fetch(public_pages(status), "/readyz").await;
        assert_eq!(code, 503);
        assert!(answer.contains("waiting for the API server"), "{answer}");
    }

    #[tokio::test]
    async fn the_status_is_for_the_node_only() {
        let status = Status::new("me".parse().unwrap());
        status.turn(&core());
        let (code, answer) = fetch(private_pages(status.clone()), "/status").await;
        assert_eq!(code, 200);
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        let page: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(page["ready"], false);
        assert_eq!(page["api"], "lost");
        assert_eq!(fetch(private_pages(status.clone()), "/metrics").await.0, 200);
        assert_eq!(fetch(public_pages(status), "/status").await.0, 404);
    }

    #[tokio::test]
    async fn ways_are_probed_for_the_node_only_and_within_the_mesh_only() {
        let status = Status::new("me".parse().unwrap());
        assert_eq!(fetch(public_pages(status.clone()), "/trace?to=10.42.0.1").await.0, 404);
        let pages = trace_page(Tracer::new(status.clone()));
        assert_eq!(fetch(pages.clone(), "/trace?to=10.42.0.1").await.0, 503, "there is no plan yet");
        assert_eq!(fetch(pages.clone(), "/trace?to=somewhere").await.0, 400);
        assert_eq!(fetch(pages, "/trace").await.0, 400);
    }

    #[tokio::test]
    async fn the_socket_is_for_root_and_replaces_a_dead_agents() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SOCKET);
        drop(listen_on_socket(directory.path()).unwrap());
        assert!(tokio::net::UnixStream::connect(&path).await.is_err(), "nobody listens on what is left");

        let status = Status::new("me".parse().unwrap());
        let server = tokio::spawn(serve(listen_on_socket(directory.path()).unwrap(), private_pages(status)));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        stream.write_all(b"GET /status HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        server.abort();
        let files: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, [SOCKET]);
    }

    #[tokio::test]
    async fn metrics_count_what_happened() {
        let status = Status::new("me".parse().unwrap());
        status.turn(&core());
        status.applied(&outcome(Cause::Plan, ApplyOutcome::Changed));
        status.applied(&outcome(Cause::Drift(DriftKind::Route), ApplyOutcome::Changed));
        status.applied(&outcome(Cause::WireGuardPoll, ApplyOutcome::Unchanged));
        status.metrics().warned(["NoGateway", "NoGateway", "NoPath"].into_iter());
        let (_, answer) = fetch(public_pages(status.clone()), "/metrics").await;
        for line in [
            "carrick_applies_total{result=\"Changed\"} 2",
            "carrick_applies_total{result=\"Unchanged\"} 1",
            "carrick_apply_duration_seconds_count{phase=\"firewall\"} 3",
            "carrick_operations_total 12",
            "carrick_drift_repairs_total{cause=\"route\"} 1",
            "carrick_warnings{kind=\"NoGateway\"} 2",
            "carrick_ready 0",
            "# EOF",
        ] {
            assert!(answer.contains(line), "{line} in {answer}");
        }
        status.metrics().warned(std::iter::empty());
        let (_, answer) = fetch(public_pages(status), "/metrics").await;
        assert!(!answer.contains("NoGateway"), "{answer}");
    }

    #[tokio::test]
    async fn a_rotated_preshared_key_is_not_counted_as_drift() {
        let status = Status::new("me".parse().unwrap());
        status.applied(&outcome(Cause::PresharedKey, ApplyOutcome::Changed));
        let (_, answer) = fetch(public_pages(status.clone()), "/metrics").await;
        assert!(answer.contains("carrick_applies_total{result=\"Changed\"} 1"), "{answer}");
        assert!(!answer.contains("carrick_drift_repairs_total{"), "{answer}");
        assert_eq!(status.page().drift_repairs, 0);
    }

    #[tokio::test]
    async fn a_taken_address_is_named_with_its_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = listen(address, "--listen").await.unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--listen"), "{error}");
    }
}
