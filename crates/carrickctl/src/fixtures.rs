//! The pages of the agents of a small mesh: two nodes in `basel`, one in `zürich`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use carrick_kube::annotations::NodeMetadata;
use carrick_kube::objects::Objects;
use carrick_probe::{PathKind, PathState, ProbedPath, RoundTrip, RoundTripCounts};
use carrick_status::{ApiConnection, PeerState, StatusPage, Traffic};
use carrick_topology::plan::plan_all;
use carrick_topology::{NodePlan, Settings};

use crate::fetch_error::FetchError;
use crate::output::{Format, Terminal, View, render};
use crate::snapshot::{Agent, Answer, Snapshot};

/// The name, location and number of each node.
const NODES: [(&str, &str, u8); 3] = [("a1", "basel", 1), ("a2", "basel", 2), ("b1", "zürich", 3)];

/// The Node objects.
pub fn objects() -> Objects {
    let mut objects = Objects::default();
    for (name, location, number) in NODES {
        let key = carrick_topology::PublicKey::from_bytes([number; 32]).to_string();
        let network = if location == "basel" { 1 } else { 2 };
        let annotations = [
            ("location", location.to_owned()),
            ("public-key", key),
            ("pod-cidrs", format!("10.42.{number}.0/24")),
            ("mesh-addresses", format!("10.4.0.{number}")),
            ("advertised-endpoints", format!("192.0.2.{number}:51820")),
            ("advertised-internal-addresses", format!("10.{network}.0.{number}/24")),
        ];
        objects.nodes.insert(
            name.parse().unwrap(),
            NodeMetadata {
                name: name.parse().unwrap(),
                created: number.into(),
                annotations: annotations
                    .into_iter()
                    .map(|(key, value)| (format!("carrick.dev/{key}"), value))
                    .collect(),
                labels: Default::default(),
            },
        );
    }
    objects
}

/// A snapshot in which every agent answers and every tunnel is up.
pub fn snapshot() -> Snapshot {
    snapshot_of(objects())
}

/// A snapshot of these objects in which every agent answers and every tunnel is up.
pub fn snapshot_of(objects: Objects) -> Snapshot {
    let settings = Settings { standby_gateways: 0, ..Settings::default() };
    let plans = plan_all(&objects.cluster(&settings.topology_label), &settings, &Default::default());
    let agents = plans.into_values().map(|plan| agent(plan, &settings)).collect();
    Snapshot { agents, objects: Some(objects) }
}

fn agent(plan: NodePlan, settings: &Settings) -> Agent {
    let peers = plan.wireguard.peers.iter().map(|(key, planned)| {
        let current = PeerState {
            endpoint: planned.endpoint,
            seconds_since_handshake: Some(75),
            received_bytes: 1_234_567,
            sent_bytes: 890,
            allowed_ips: planned.allowed_ips.clone(),
        };
        (*key, current)
    });
    let name = plan.node.to_string();
    let page = StatusPage {
        version: "0.1.0".to_owned(),
        node: Some(plan.node.clone()),
        ready: true,
        api: ApiConnection::Synced,
        settings: Some(Arc::new(settings.clone())),
        peers: peers.collect(),
        paths: paths(&name),
        traffic: traffic(&name),
        plan: Some(Arc::new(plan)),
        ..StatusPage::default()
    };
    Agent { name, pod: None, socket: None, answer: Answer::Page(Box::new(page)), took: Duration::ZERO }
}

fn paths(name: &str) -> Vec<ProbedPath> {
    match name {
        "a1" => vec![path("a2", "basel", PathKind::Inside, 400), path("b1", "zürich", PathKind::Tunnel, 12_300)],
        "a2" => vec![path("a1", "basel", PathKind::Inside, 500)],
        _ => vec![path("a1", "basel", PathKind::Tunnel, 12_500)],
    }
}

fn path(to: &str, location: &str, kind: PathKind, median: u64) -> ProbedPath {
    let mut histogram = RoundTripCounts::default();
    for _ in 0..3 {
        histogram.observe(Duration::from_micros(median));
    }
    histogram.observe(Duration::from_micros(median * 2));
    ProbedPath {
        to: to.parse().unwrap(),
        location: location.parse().unwrap(),
        kind,
        address: IpAddr::from([10, 4, 0, 1]),
        state: PathState::Up,
        sent: 5,
        answered: 4,
        loss: Some(if median > 12_400 { 0.2 } else { 0.0 }),
        round_trip: Some(RoundTrip {
            min_us: median - 100,
            p50_us: median,
            p99_us: median * 2,
            last_us: median,
            jitter_us: 90,
        }),
        histogram,
        mtu: Some(1420),
    }
}

fn traffic(name: &str) -> Vec<Traffic> {
    let sent = |from: &str, to: &str, bytes, rate| Traffic {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        sent_bytes: bytes,
        sent_bytes_per_second: rate,
    };
    match name {
        "a1" => vec![sent("basel", "zürich", 5_000_000_000, 1_000_000.0)],
        "b1" => vec![sent("zürich", "basel", 100_000_000, 0.0)],
        _ => Vec::new(),
    }
}

/// Changes the page of one agent.
pub fn change(snapshot: &mut Snapshot, node: &str, change: impl FnOnce(&mut StatusPage)) {
    let agent = snapshot.agents.iter_mut().find(|agent| agent.name == node).unwrap();
    match &mut agent.answer {
        Answer::Page(page) => change(page),
        Answer::Unreachable(_) | Answer::NoAgent => panic!("{node} has no page"),
    }
}

/// Makes an agent unreachable.
pub fn set_unreachable(snapshot: &mut Snapshot, node: &str) {
    let agent = snapshot.agents.iter_mut().find(|agent| agent.name == node).unwrap();
    agent.answer = Answer::Unreachable(FetchError::Timeout(Duration::from_secs(2)));
}

/// The text of an answer for people, without a terminal.
pub fn text(view: &impl View) -> String {
    render(view, Format::Table, Terminal::default()).unwrap().text
}

/// Parses networks.
pub fn nets(texts: &[&str]) -> BTreeSet<ipnet::IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
