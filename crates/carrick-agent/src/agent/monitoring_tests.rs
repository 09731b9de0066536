//! Compares the metrics and alerts in `deploy/monitoring/` and in the documents with the code.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;
use std::time::{Duration, Instant};

use carrick_dataplane::Phases;
use carrick_dataplane::firewall::DropReason;
use carrick_kube::watch::ApiStatus;
use carrick_pods::call_log::CallRecord;
use carrick_probe::{PathKind, PathState, ProbedPath, Refusal, RoundTripCounts};
use carrick_topology::{Cluster, Liveness, Node, NodeName, NodePlan, PublicKey, Settings};

use super::kernel::Outcome;
use super::metrics::{DropReader, HttpClosed, HttpListener, Metrics, PathReader};
use carrick_core::{ApplyOutcome, Cause, Core, DriftKind, WriteOutcome};

const ALERTS: &str = include_str!("../../../../deploy/monitoring/alerts.yaml");
const ALERT_TESTS: &str = include_str!("../../../../deploy/monitoring/alerts.test.yaml");
const DASHBOARD: &str = include_str!("../../../../deploy/monitoring/grafana-dashboard.json");
const METRICS: &str = include_str!("../../../../docs/metrics.md");
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

/// The names in a text that are metrics' names by their prefix.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = text.split(|character| !is_part(character));
    words.filter(|word| word.starts_with("carrick_")).map(str::to_owned).collect()
}

/// The metrics that the document lists, with their types.
fn documented() -> BTreeMap<String, String> {
    let rows = METRICS.lines().filter(|line| line.starts_with("| `carrick_"));
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    cells.flat_map(|row| names(row[1]).into_iter().map(move |name| (name, row[2].to_owned()))).collect()
}

/// The series of the metrics that the document lists, as Prometheus stores them.
fn documented_series() -> BTreeSet<String> {
    let series = |(name, kind): (String, String)| match kind.as_str() {
        "histogram" => ["bucket", "sum", "count"].map(|suffix| format!("{name}_{suffix}")).to_vec(),
        _ => vec![name],
    };
    documented().into_iter().flat_map(series).collect()
}

/// The metrics of a page `/metrics` as the document names them, with their types.
fn exported(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let metrics = lines.filter_map(|line| line.split_once(' '));
    let name = |(name, kind): (&str, &str)| match kind {
        "counter" => (format!("{name}_total"), kind.to_owned()),
        "info" => (format!("{name}_info"), kind.to_owned()),
        _ => (name.to_owned(), kind.to_owned()),
    };
    metrics.map(name).collect()
}

/// The words behind `key` in lines of YAML.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.split_once(key)).map(|(_, value)| value.trim_end_matches(['}', ' '])).collect()
}

#[test]
fn the_rules_and_the_dashboard_ask_for_metrics_that_are_documented() {
    let known = documented_series();
    for (file, text) in
        [("alerts.yaml", ALERTS), ("alerts.test.yaml", ALERT_TESTS), ("grafana-dashboard.json", DASHBOARD)]
    {
        let asked = names(text);
        assert!(!asked.is_empty(), "{file} asks for nothing");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for what no agent exports: {unknown:?}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let asked = names(DASHBOARD);
    let shown = |name: &str| {
        asked.iter().any(|series| series.strip_prefix(name).is_some_and(|rest| matches!(rest, "" | "_bucket")))
    };
    let forgotten: Vec<_> = documented().into_keys().filter(|name| !shown(name)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

const MOMENT: Duration = Duration::from_millis(1);

/// The page of an agent to which everything has happened once: a metric with labels is not there before.
fn full_page() -> String {
    let metrics = Metrics::default();
    metrics.applied(&Outcome {
        cause: Cause::Drift(DriftKind::Route),
        scope: carrick_topology::plan::Scope::Everything,
        faults: BTreeSet::new(),
        outcome: ApplyOutcome::Changed,
        operations: 1,
        first_change: None,
        took: Duration::ZERO,
        phases: Phases { firewall: MOMENT, observe: MOMENT, compare: MOMENT, apply: MOMENT },
        failures: Vec::new(),
        sightings: None,
        handover: carrick_topology::handover::HandoverInForce::default(),
    });
    metrics.published(WriteOutcome::Complete);
    metrics.gateway_changed(&"home".parse().unwrap());
    metrics.pod_call(&CallRecord { command: "ADD".to_owned(), code: 0, took: Duration::ZERO });
    metrics.warned(["NoPath"].into_iter());
    metrics.turn(&Core::new("me".parse().unwrap(), PublicKey::from_bytes([1; 32]), Settings::default(), 7));
    metrics.http().closed(HttpListener::Internal, HttpClosed::Full);
    metrics.probes().refused(Refusal::WrongCode);
    let api = ApiStatus::default();
    api.heard(Instant::now());
    let dropped = DropReader::new(|| [(DropReason::MeshPortFromPod, 1)].into());
    metrics.mesh().with(|mesh| mesh.drop_reader = Some(dropped));
    metrics.mesh().with(|mesh| mesh.path_reader = Some(PathReader::new(|| vec![path()])));
    metrics.mesh().with(|mesh| (mesh.plan, mesh.api) = (Some(Arc::new(plan())), Some(Arc::new(api))));
    metrics.encode().unwrap()
}

fn path() -> ProbedPath {
    ProbedPath {
        to: "b1".parse().unwrap(),
        location: "b".parse().unwrap(),
        kind: PathKind::Tunnel,
        address: "10.4.0.9".parse().unwrap(),
        state: PathState::Up,
        sent: 1,
        answered: 1,
        loss: Some(0.0),
        round_trip: None,
        histogram: RoundTripCounts::default(),
        mtu: Some(1_420),
    }
}

/// The upper bounds of the buckets of each histogram in a text, in their order, each once.
fn bounds(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut bounds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        let Some((before, after)) = line.split_once("_bucket{") else { continue };
        let Some(bound) = after.split_once("le=\"").and_then(|(_, rest)| rest.split_once('"')) else { continue };
        let name = before.rsplit(|character: char| !(character.is_ascii_alphanumeric() || character == '_')).next();
        let of_name = bounds.entry(name.unwrap().to_owned()).or_default();
        if !of_name.iter().any(|known| known == bound.0) {
            of_name.push(bound.0.to_owned());
        }
    }
    bounds
}

#[test]
fn the_last_bucket_of_every_histogram_is_infinite_and_the_tests_of_alerts_use_no_bucket_that_no_page_has() {
    let exported = bounds(&full_page());
    let histograms: BTreeSet<_> = documented().into_iter().filter(|(_, kind)| kind == "histogram").collect();
    assert_eq!(exported.len(), histograms.len(), "{:?}", exported.keys());
    for (name, bounds) in &exported {
        assert_eq!(bounds.last().map(String::as_str), Some("+Inf"), "{name}");
    }
    let asked = bounds(ALERT_TESTS);
    assert!(!asked.is_empty());
    for (name, bounds) in asked {
        let unknown: Vec<_> = bounds.iter().filter(|bound| !exported[&name].contains(bound)).collect();
        assert!(unknown.is_empty(), "alerts.test.yaml has buckets of {name} that no agent exports: {unknown:?}");
    }
}

/// The plan of a node that knows no other node.
fn plan() -> NodePlan {
    let me: NodeName = "me".parse().unwrap();
    let node = Node { public_key: Some(PublicKey::from_bytes([1; 32])), ..Node::new(me.clone(), 0) };
    let cluster = Cluster { nodes: [(me.clone(), node)].into(), ..Cluster::default() };
    carrick_topology::plan(&cluster, &Settings::default(), &Liveness::default(), &me).unwrap()
}

#[test]
fn what_the_agent_exports_is_documented_and_the_reverse() {
    assert_eq!(exported(&full_page()), documented());
}

#[test]
fn the_causes_of_repairs_are_documented() {
    use DriftKind::{Address, Device, Lost, Neighbours, Nftables, Route, Rule, Setting};
    let drift = [Device, Address, Route, Rule, Neighbours, Setting, Nftables, Lost].map(Cause::Drift);
    let causes = drift.into_iter().chain([Cause::UplinkUp, Cause::WireGuardPoll, Cause::Periodic]);
    let labels: Vec<String> = causes.filter(|cause| cause.is_repair()).map(|cause| format!("`{cause}`")).collect();
    let row = METRICS.lines().find(|line| line.starts_with("| `carrick_drift_repairs_total`")).unwrap();
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    assert_eq!(cells[3], format!("`cause`: {}", labels.join(", ")));
}

#[test]
fn the_reasons_of_dropped_packets_are_documented() {
    let section = METRICS.split_once("## Dropped packets").unwrap().1;
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(reason, _)| reason);
    assert_eq!(rows.collect::<BTreeSet<_>>(), DropReason::ALL.map(DropReason::as_str).into_iter().collect());
}

#[test]
fn every_reason_of_dropped_packets_has_an_alert() {
    let asked = ALERTS.split("reason=~\"").skip(1).filter_map(|rest| rest.split_once('"'));
    let patterns: Vec<&str> = asked.flat_map(|(patterns, _)| patterns.split('|')).collect();
    let matches = |pattern: &&str, reason: &str| match pattern.strip_suffix(".*") {
        Some(start) => reason.starts_with(start),
        None => *pattern == reason,
    };
    for reason in DropReason::ALL.map(DropReason::as_str) {
        let matching = patterns.iter().filter(|pattern| matches(pattern, reason)).count();
        assert_eq!(matching, 1, "{reason} belongs to one alert: {patterns:?}");
    }
}

#[test]
fn every_alert_has_its_section_and_its_test() {
    let alerts = values(ALERTS, "- alert: ");
    assert!(!alerts.is_empty());
    let runbooks = values(ALERTS, "runbook: ");
    let sections: Vec<_> =
        values(OPERATIONS, "### ").into_iter().filter(|title| title.starts_with("Carrick")).collect();
    let expected: Vec<_> = alerts.iter().map(|alert| format!("docs/operations.md#{}", alert.to_lowercase())).collect();
    assert_eq!(runbooks, expected);
    assert_eq!(sections, alerts, "sections of docs/operations.md, in the order of alerts.yaml");
    let tested: BTreeSet<_> = values(ALERT_TESTS, "alertname: ").into_iter().collect();
    assert_eq!(tested, alerts.into_iter().collect());
}
