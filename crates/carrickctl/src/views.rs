//! Compares the tables of all commands with the files in `src/views/`. `UPDATE_VIEWS=1 cargo test -p carrickctl --lib` rewrites the
//! files.

use crate::cluster_plan::ClusterPlan;
use crate::dry_run::{Annotation, Change, DryRun};
use crate::exit::Exit;
use crate::fixtures::{change, nets, objects, set_unreachable, snapshot, text};
use crate::graph::Graph;
use crate::latency::{Between, Form, Latency};
use crate::output::{Format, Terminal, View as _, render};
use crate::peers::Peers;
use crate::routes::Routes;
use crate::snapshot::Snapshot;
use crate::status::Status;
use crate::trace::{End, NamedPods, Trace};
use crate::traffic::{Price, Prices, TrafficTable};

fn expect(file: &str, seen: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/views").join(file);
    if std::env::var_os("UPDATE_VIEWS").is_some() {
        std::fs::write(&path, seen).unwrap();
    }
    assert_eq!(seen, std::fs::read_to_string(&path).unwrap(), "{file}");
}

#[test]
fn a_healthy_mesh_has_status_healthy() {
    let status = Status::of(&snapshot());
    expect("status-healthy.txt", &text(&status));
    assert_eq!(status.exit(), Exit::Healthy);
}

#[test]
fn faults_are_listed_and_determine_the_exit_status() {
    let mut snapshot = snapshot();
    set_unreachable(&mut snapshot, "a2");
    change(&mut snapshot, "a1", |page| {
        page.peers.values_mut().for_each(|peer| peer.seconds_since_handshake = None);
        page.warnings.insert("node `a1`: location `` cannot be read".to_owned());
    });
    change(&mut snapshot, "b1", |page| page.version = "0.2.0".to_owned());
    let status = Status::of(&snapshot);
    expect("status-unhealthy.txt", &text(&status));
    assert_eq!(status.exit(), Exit::Unhealthy);
    for node in ["a1", "b1"] {
        set_unreachable(&mut snapshot, node);
    }
    assert_eq!(Status::of(&snapshot).exit(), Exit::Unreachable);
}

#[test]
fn differences_between_devices_and_plans_are_listed() {
    let mut snapshot = snapshot();
    assert_eq!(Peers::of(&snapshot, None).unwrap().exit(), Exit::Healthy);
    change(&mut snapshot, "b1", |page| {
        for peer in page.peers.values_mut() {
            peer.endpoint = Some("198.51.100.9:4711".parse().unwrap());
            peer.allowed_ips = nets(&["10.42.1.0/24", "10.4.0.1/32", "10.9.0.0/16"]);
        }
    });
    let peers = Peers::of(&snapshot, None).unwrap();
    expect("peers.txt", &text(&peers));
    assert_eq!(peers.exit(), Exit::Unhealthy);
    assert_eq!(Peers::of(&snapshot, Some("a1")).unwrap().peers.len(), 1);
    assert!(Peers::of(&snapshot, Some("x")).unwrap_err().to_string().contains("a1, a2, b1"));
}

#[test]
fn latency_is_a_list_a_matrix_or_a_histogram() {
    let snapshot = snapshot();
    let of = |between, form| text(&Latency::of(&snapshot, between, form).unwrap());
    expect("latency-list.txt", &of(Between::Locations, Form::List));
    expect("latency-matrix.txt", &of(Between::Nodes, Form::Matrix));
    expect("latency-histogram.txt", &of(Between::Nodes, Form::Histogram("a1".into(), "b1".into())));
    let unknown = Latency::of(&snapshot, Between::Nodes, Form::Histogram("a2".into(), "b1".into()));
    assert_eq!(unknown.unwrap_err().exit(), Exit::Usage);
}

#[test]
fn each_route_names_the_node_that_it_leads_to() {
    let cluster_plan = ClusterPlan::of(&snapshot()).unwrap();
    expect("routes.txt", &text(&Routes::of(&cluster_plan, "a2").unwrap()));
    assert_eq!(Routes::of(&cluster_plan, "x").unwrap_err().exit(), Exit::Usage);
}

fn trace(snapshot: &Snapshot, from: &str, to: &str) -> Trace {
    let cluster_plan = ClusterPlan::of(snapshot).unwrap();
    let [from, to] = [from, to].map(|end| End::of(&cluster_plan, &NamedPods::new(), end).unwrap());
    Trace::of(snapshot, &cluster_plan, &from, &to).unwrap()
}

#[test]
fn a_trace_has_a_path_in_each_direction() {
    let trace = trace(&snapshot(), "10.42.2.7", "10.42.3.7");
    expect("trace.txt", &text(&trace));
    assert_eq!(trace.exit(), Exit::Healthy);
}

#[test]
fn a_trace_is_the_same_without_objects() {
    let mut snapshot = snapshot();
    let with_objects = trace(&snapshot, "10.42.2.7", "b1");
    snapshot.objects = None;
    let without = trace(&snapshot, "10.42.2.7", "b1");
    assert_eq!(without.paths, with_objects.paths);
    assert!(without.notes[0].starts_with("reconstructed from the agents' pages"), "{:?}", without.notes);
}

#[test]
fn a_broken_trace_names_the_obstacle() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "b1", |page| {
        let mut plan = carrick_topology::NodePlan::clone(page.plan.as_ref().unwrap());
        for peer in plan.wireguard.peers.values_mut() {
            peer.allowed_ips = nets(&["10.42.1.0/24"]);
        }
        page.plan = Some(plan.into());
    });
    let broken = trace(&snapshot, "10.42.2.7", "10.42.3.7");
    expect("trace-broken.txt", &text(&broken));
    assert_eq!(broken.exit(), Exit::Unhealthy);
    let unknown = trace(&snapshot, "10.42.2.7", "10.42.99.1");
    assert!(!unknown.paths[0].arrives);
}

#[test]
fn traffic_is_priced_by_pair() {
    let snapshot = snapshot();
    let prices = Prices {
        currency: "CHF".to_owned(),
        default: None,
        prices: vec![Price { from: "basel".to_owned(), to: "*".to_owned(), per_gb: 0.05 }],
    };
    expect("traffic.txt", &text(&TrafficTable::of(&snapshot, None)));
    expect("traffic-priced.txt", &text(&TrafficTable::of(&snapshot, Some(&prices))));
}

#[test]
fn a_change_shows_in_every_plan_that_it_affects() {
    let change = Change { annotations: vec![Annotation::parse("a1", "gateway=never").unwrap()], ..Change::default() };
    let run = DryRun::of(&snapshot(), &change).unwrap();
    expect("plan.txt", &text(&run));
    assert_eq!(run.exit(), Exit::Healthy);
    let nothing = DryRun::of(&snapshot(), &Change::default()).unwrap();
    assert!(nothing.nodes.is_empty(), "{:?}", nothing.nodes);
}

#[test]
fn a_failed_node_disconnects_the_pairs_that_only_it_connects() {
    let without = |snapshot: &Snapshot, node: &str| {
        DryRun::of(snapshot, &Change { without: Some(node.to_owned()), ..Change::default() }).unwrap()
    };
    // a2 takes over after it has detected the failure.
    let snapshot = snapshot();
    let run = without(&snapshot, "a1");
    assert_eq!((run.reachability.lost.len(), run.exit()), (0, Exit::Healthy));
    assert_eq!(run.reachability.interrupted["a2"].iter().collect::<Vec<_>>(), ["b1"]);

    let mut objects = objects();
    let a2 = objects.nodes.get_mut("a2").unwrap();
    a2.annotations.insert("carrick.dev/gateway".to_owned(), "never".to_owned());
    let snapshot = Snapshot { agents: Vec::new(), objects: Some(objects) };
    let run = without(&snapshot, "a1");
    assert_eq!(run.reachability.lost["a2"].iter().collect::<Vec<_>>(), ["b1"]);
    assert_eq!(run.exit(), Exit::Unhealthy);
    assert!(text(&run).contains("1 of 1 pairs no longer reach each other:\n  a2 - b1\n"), "{}", text(&run));
}

#[test]
fn a_graph_has_three_formats() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "b1", |page| page.peers.values_mut().for_each(|peer| peer.seconds_since_handshake = None));
    let graph = Graph::of(&snapshot).unwrap();
    let of = |format| graph.write(format, Terminal::default()).unwrap().text;
    expect("graph.dot", &of(Format::Dot));
    expect("graph.mermaid", &of(Format::Mermaid));
    let svg = of(Format::Svg);
    assert!(svg.contains("<path class=\"broken\"") && svg.contains(">broken, 12.5 ms, 1.0 MB/s<"), "{svg}");
    assert!(!svg.contains("<script"));
}

#[test]
fn only_a_graph_supports_picture_formats() {
    assert_eq!(render(&Status::of(&snapshot()), Format::Svg, Terminal::default()).unwrap_err().exit(), Exit::Usage);
    let json = render(&Status::of(&snapshot()), Format::Json, Terminal::default()).unwrap();
    assert!(json.text.contains("\"healthy\": true"));
    assert!(
        render(&Status::of(&snapshot()), Format::Yaml, Terminal::default()).unwrap().text.contains("healthy: true")
    );
}
