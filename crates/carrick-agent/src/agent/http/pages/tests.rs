use std::time::Duration;

use carrick_topology::Settings;
use carrick_topology::model::PublicKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::agent::http::limits::Limits;
use crate::agent::http::server::serve;
use crate::agent::kernel::Outcome;
use crate::agent::metrics::{HttpListener, HttpMetrics};
use carrick_core::{ApplyOutcome, Cause, Core, DriftKind};

fn core() -> Core {
    Core::new("me".parse().unwrap(), PublicKey::from_bytes([1; 32]), Settings::default(), 7)
}

fn outcome(cause: Cause, outcome: ApplyOutcome) -> Outcome {
    Outcome {
        cause,
        first_change: None,
        outcome,
        scope: carrick_topology::plan::Scope::Everything,
        faults: std::collections::BTreeSet::new(),
        operations: 4,
        took: Duration::from_millis(3),
        phases: carrick_dataplane::Phases { firewall: Duration::from_millis(1), ..Default::default() },
        sightings: None,
        handover: carrick_topology::handover::HandoverInForce::default(),
        failures: Vec::new(),
    }
}

/// The status code and the whole answer.
async fn fetch(pages: Router, path: &str) -> (u16, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, pages, Limits::TCP, HttpListener::Address, HttpMetrics::default());
    let server = tokio::spawn(server);
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
async fn the_listed_pages_are_those_that_the_agent_serves_or_refuses() {
    let listed: Vec<&str> = crate::page::PAGES.split(", ").filter_map(|page| page.split('?').next()).collect();
    for page in &listed {
        let (code, answer) = fetch(public_pages(Status::new("me".parse().unwrap())), page).await;
        assert_ne!(code, 404, "{page}: {answer}");
    }
    assert!(PRIVATE.iter().all(|page| listed.contains(page)));
    assert_eq!(fetch(public_pages(Status::new("me".parse().unwrap())), "/foo").await.0, 404);
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
async fn the_status_is_not_public() {
    let status = Status::new("me".parse().unwrap());
    status.turn(&core());
    let (code, answer) = fetch(private_pages(status.clone()), "/status").await;
    assert_eq!(code, 200);
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let page: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(page["ready"], false);
    assert_eq!(page["api"], "lost");
    assert_eq!(fetch(private_pages(status.clone()), "/metrics").await.0, 200);
    for page in PRIVATE {
        let (code, answer) = fetch(public_pages(status.clone()), page).await;
        assert_eq!(code, 403);
        assert!(answer.contains("carrickctl") && answer.contains("Unix socket"), "{answer}");
    }
}

#[tokio::test]
async fn traces_are_not_public_and_need_a_plan() {
    let status = Status::new("me".parse().unwrap());
    assert_eq!(fetch(public_pages(status.clone()), "/trace?to=10.42.0.1").await.0, 403);
    let pages = trace_page(Tracer::new(status.clone()));
    assert_eq!(fetch(pages.clone(), "/trace?to=10.42.0.1").await.0, 503, "there is no plan yet");
    assert_eq!(fetch(pages.clone(), "/trace?to=somewhere").await.0, 400);
    assert_eq!(fetch(pages, "/trace").await.0, 400);
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
async fn repeated_repairs_of_any_part_of_the_agent_are_told_in_the_same_words() {
    let status = Status::new("me".parse().unwrap());
    status.turn(&core());
    let repair =
        || status.repaired(Cause::Drift(DriftKind::Nftables), "change the nftables table inet carrick-cni".to_owned());
    let told = |status: &Status| (status.page().repeated_drift.len(), status.readiness().1);
    repair();
    repair();
    assert!(told(&status).0 == 0 && !told(&status).1.contains("carrick-cni"), "twice is not again and again");
    repair();
    let (things, readyz) = told(&status);
    let text = "warning: another program undoes what the agent writes, and the agent repaired in the last 10 minutes: \
                change the nftables table inet carrick-cni (3 times) -> find the program";
    assert!(things == 1 && readyz.contains(text), "{readyz}");
    let (_, metrics) = fetch(public_pages(status), "/metrics").await;
    assert!(metrics.contains("carrick_repeated_drift 1"), "{metrics}");
    assert!(metrics.contains("carrick_drift_repairs_total{cause=\"nftables\"} 3"), "{metrics}");
}
