//! Pages of agents: each that can be read can be shown, by every command.

use std::time::Duration;

use carrick_doctor::{Observations, Pages, TimeRange, concerning, diagnose};
use carrick_status::{ChecksPage, LiveTracePage, StatusPage};
use carrick_topology::NodeName;
use carrick_types::is_printable;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::http;
use crate::cluster_plan::ClusterPlan;
use crate::dashboard::{DashboardData, Memory};
use crate::doctor::Report;
use crate::dry_run::{Change, DryRun};
use crate::graph::Graph;
use crate::latency::{Between, Form, Latency};
use crate::output::{Format, Terminal, View, render};
use crate::peers::Peers;
use crate::routes::Routes;
use crate::snapshot::{Agent, Answer, Snapshot};
use crate::status::Status;
use crate::trace::{End, LivePath, NamedPods, Trace};
use crate::traffic::TrafficTable;

/// A terminal on which something has to be cut.
const NARROW: Terminal = Terminal { width: Some(40), colour: true };
/// Nodes of whose pages traces and routes are made; more would only take time.
const MOST_NODES: usize = 3;

/// Reads `bytes` as lines: the JSON of a page `/status` behind `s`, of a page `/checks` behind `c`, and of a page `/trace` behind `t`.
///
/// # Panics
///
/// Something does not hold that must.
pub fn check(bytes: &[u8]) {
    check_http(bytes);
    let status: Vec<StatusPage> = pages(bytes, b's');
    let checks: Vec<ChecksPage> = pages(bytes, b'c');
    let traces: Vec<LiveTracePage> = pages(bytes, b't');

    let agents = status.iter().enumerate().map(|(index, page)| Agent {
        name: page.node.as_ref().map_or_else(|| format!("/run/{index}.sock"), ToString::to_string),
        pod: None,
        socket: Some(format!("/run/{index}.sock").into()),
        answer: Answer::Page(Box::new(page.clone())),
        took: Duration::from_millis(5),
    });
    let snapshot = Snapshot { agents: agents.collect(), objects: None };
    show(&Status::of(&snapshot));
    show(&TrafficTable::of(&snapshot, None));
    Peers::of(&snapshot, None).iter().for_each(show);
    check_latency(&snapshot);
    check_plans(&snapshot, &traces);
    check_graph(&snapshot);
    check_doctor(&status, &checks);
    let mut memory = Memory::default();
    memory.learn(&mut snapshot.clone());
    serde_json::to_string(&DashboardData::of(&snapshot, &memory, 0)).unwrap();
}

/// The pages of one kind. A page that can be read is written and read again as the same.
fn pages<T: DeserializeOwned + Serialize>(bytes: &[u8], kind: u8) -> Vec<T> {
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| line.strip_prefix(&[kind]));
    let pages: Vec<T> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    for page in &pages {
        let written = serde_json::to_string(page).unwrap();
        let again: T = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), written);
    }
    pages
}

/// A view has all its forms, and nothing in its text moves a terminal's cursor.
fn show(view: &impl View) {
    let table = render(view, Format::Table, Terminal::default()).unwrap().text;
    check_text(&table);
    render(view, Format::Table, NARROW).unwrap();
    let json = render(view, Format::Json, Terminal::default()).unwrap().text;
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    render(view, Format::Yaml, Terminal::default()).unwrap();
}

fn check_text(text: &str) {
    let moves = |character: char| !is_printable(character) && character != '\n';
    assert!(!text.contains(moves), "{text:?}");
}

fn check_latency(snapshot: &Snapshot) {
    for between in [Between::Nodes, Between::Locations] {
        let Ok(list) = Latency::of(snapshot, between, Form::List) else { continue };
        show(&list);
        Latency::of(snapshot, between, Form::Matrix).iter().for_each(show);
        for pair in list.pairs.iter().take(MOST_NODES) {
            let form = Form::Histogram(pair.from.clone(), pair.to.clone());
            Latency::of(snapshot, between, form).iter().for_each(show);
        }
    }
}

fn check_plans(snapshot: &Snapshot, traces: &[LiveTracePage]) {
    let Ok(cluster_plan) = ClusterPlan::of(snapshot) else { return };
    let names: Vec<NodeName> = cluster_plan.plans.keys().take(MOST_NODES).cloned().collect();
    for name in &names {
        Routes::of(&cluster_plan, name.as_str()).iter().for_each(show);
    }
    let ends: Vec<End> =
        names.iter().filter_map(|name| End::of(&cluster_plan, &NamedPods::new(), name.as_str()).ok()).collect();
    for from in &ends {
        for to in &ends {
            let Ok(mut trace) = Trace::of(snapshot, &cluster_plan, from, to) else { continue };
            for (path, page) in trace.paths.iter_mut().zip(traces) {
                path.live = Some(LivePath::of(&cluster_plan, from.name.clone(), path.route(), page));
            }
            show(&trace);
        }
    }
    let failed = names.first().map(|name| Change { without: Some(name.to_string()), ..Change::default() });
    for change in failed.into_iter().chain([Change::default()]) {
        DryRun::of(snapshot, &change).iter().for_each(show);
    }
}

fn check_graph(snapshot: &Snapshot) {
    let Ok(graph) = Graph::of(snapshot) else { return };
    let write = |format| graph.write(format, Terminal::default()).unwrap().text;
    let svg = write(Format::Svg);
    assert!(!svg.contains("<script") && !svg.contains("javascript:"), "{svg}");
    for format in [Format::Dot, Format::Mermaid] {
        check_text(&write(format));
    }
    serde_json::from_str::<serde_json::Value>(&write(Format::Json)).unwrap();
}

/// Findings are in the order of the checks, at least one for each, and can be shown for each node.
fn check_doctor(status: &[StatusPage], checks: &[ChecksPage]) {
    let mut observations = Observations::default();
    for (index, page) in status.iter().enumerate() {
        let Some(node) = page.node.clone() else { continue };
        let pages = Pages {
            status: page.clone(),
            asked: TimeRange { from_ms: 0, to_ms: 1000 },
            checks: checks.get(index).cloned(),
            later: checks.get(index + 1).cloned(),
        };
        observations.agents.insert(node, carrick_doctor::Agent::Answered(Box::new(pages)));
    }
    let findings = diagnose(&observations);
    assert!(carrick_doctor::Check::ALL.iter().all(|check| findings.iter().any(|finding| finding.check == *check)));
    show(&Report::new(findings.clone(), &observations));
    for node in observations.agents.keys() {
        show(&Report::new(concerning(&findings, node), &observations));
    }
    let _ = carrick_doctor::needs_second_sample(&observations);
}

/// An answer over HTTP is taken whole or not at all.
fn check_http(bytes: &[u8]) {
    if let Ok(body) = http::body(bytes.to_vec()) {
        assert!(bytes.ends_with(&body) && body.len() < bytes.len());
    }
    let whole = [format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).as_bytes(), bytes].concat();
    assert_eq!(http::body(whole.clone()).unwrap(), bytes);
    assert!(http::body([&whole[..], b"x"].concat()).is_err());
}
