//! What people see, to the letter: `src/views/` has the texts. `UPDATE_VIEWS=1 cargo test -p carrickctl --lib` writes them anew.

use crate::blueprint::Blueprint;
use crate::dry_run::{Annotation, Change, DryRun};
use crate::exit::Exit;
use crate::graph::Graph;
use crate::latency::{Between, Form, Latency};
use crate::made::{change, nets, objects, silence, survey, text};
use crate::output::{Format, Screen, View as _, show};
use crate::peers::Peers;
use crate::routes::Routes;
use crate::status::Status;
use crate::survey::Survey;
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
fn all_is_well() {
    let status = Status::of(&survey());
    expect("status-well.txt", &text(&status));
    assert_eq!(status.exit(), Exit::Healthy);
}

#[test]
fn what_is_not_well_is_said_and_counts() {
    let mut survey = survey();
    silence(&mut survey, "a2");
    change(&mut survey, "a1", |page| {
        page.peers.values_mut().for_each(|peer| peer.seconds_since_handshake = None);
        page.warnings.insert("node `a1`: location `` cannot be read".to_owned());
    });
    change(&mut survey, "b1", |page| page.version = "0.2.0".to_owned());
    let status = Status::of(&survey);
    expect("status-unwell.txt", &text(&status));
    assert_eq!(status.exit(), Exit::Unhealthy);
    for node in ["a1", "b1"] {
        silence(&mut survey, node);
    }
    assert_eq!(Status::of(&survey).exit(), Exit::Unreachable);
}

#[test]
fn peers_show_how_devices_differ_from_plans() {
    let mut survey = survey();
    assert_eq!(Peers::of(&survey, None).unwrap().exit(), Exit::Healthy);
    change(&mut survey, "b1", |page| {
        for peer in page.peers.values_mut() {
            peer.endpoint = Some("198.51.100.9:4711".parse().unwrap());
            peer.allowed_ips = nets(&["10.42.1.0/24", "10.4.0.1/32", "10.9.0.0/16"]);
        }
    });
    let peers = Peers::of(&survey, None).unwrap();
    expect("peers.txt", &text(&peers));
    assert_eq!(peers.exit(), Exit::Unhealthy);
    assert_eq!(Peers::of(&survey, Some("a1")).unwrap().peers.len(), 1);
    assert!(Peers::of(&survey, Some("x")).unwrap_err().to_string().contains("a1, a2, b1"));
}

#[test]
fn latency_is_a_list_a_matrix_or_a_histogram() {
    let survey = survey();
    let of = |between, form| text(&Latency::of(&survey, between, form).unwrap());
    expect("latency-list.txt", &of(Between::Locations, Form::List));
    expect("latency-matrix.txt", &of(Between::Nodes, Form::Matrix));
    expect("latency-histogram.txt", &of(Between::Nodes, Form::Histogram("a1".into(), "b1".into())));
    let unknown = Latency::of(&survey, Between::Nodes, Form::Histogram("a2".into(), "b1".into()));
    assert_eq!(unknown.unwrap_err().exit(), Exit::Usage);
}

#[test]
fn routes_name_the_node_that_they_lead_to() {
    let blueprint = Blueprint::of(&survey()).unwrap();
    expect("routes.txt", &text(&Routes::of(&blueprint, "a2").unwrap()));
    assert_eq!(Routes::of(&blueprint, "x").unwrap_err().exit(), Exit::Usage);
}

fn trace(survey: &Survey, from: &str, to: &str) -> Trace {
    let blueprint = Blueprint::of(survey).unwrap();
    let [from, to] = [from, to].map(|end| End::of(&blueprint, &NamedPods::new(), end).unwrap());
    Trace::of(survey, &blueprint, &from, &to).unwrap()
}

#[test]
fn a_trace_goes_there_and_back() {
    let trace = trace(&survey(), "10.42.2.7", "10.42.3.7");
    expect("trace.txt", &text(&trace));
    assert_eq!(trace.exit(), Exit::Healthy);
}

#[test]
fn a_trace_is_the_same_without_objects() {
    let mut survey = survey();
    let with_objects = trace(&survey, "10.42.2.7", "b1");
    survey.objects = None;
    let without = trace(&survey, "10.42.2.7", "b1");
    assert_eq!(without.ways, with_objects.ways);
    assert!(without.notes[0].starts_with("made from the agents' pages"), "{:?}", without.notes);
}

#[test]
fn a_trace_names_what_breaks_it() {
    let mut survey = survey();
    change(&mut survey, "b1", |page| {
        let mut plan = carrick_topology::NodePlan::clone(page.plan.as_ref().unwrap());
        for peer in plan.wireguard.peers.values_mut() {
            peer.allowed_ips = nets(&["10.42.1.0/24"]);
        }
        page.plan = Some(plan.into());
    });
    let broken = trace(&survey, "10.42.2.7", "10.42.3.7");
    expect("trace-broken.txt", &text(&broken));
    assert_eq!(broken.exit(), Exit::Unhealthy);
    let unknown = trace(&survey, "10.42.2.7", "10.42.99.1");
    assert!(!unknown.ways[0].arrives);
}

#[test]
fn traffic_is_priced_by_pair() {
    let survey = survey();
    let prices = Prices {
        currency: "CHF".to_owned(),
        default: None,
        prices: vec![Price { from: "basel".to_owned(), to: "*".to_owned(), per_gb: 0.05 }],
    };
    expect("traffic.txt", &text(&TrafficTable::of(&survey, None)));
    expect("traffic-priced.txt", &text(&TrafficTable::of(&survey, Some(&prices))));
}

#[test]
fn a_change_shows_in_every_plan_that_it_touches() {
    let change = Change { annotations: vec![Annotation::parse("a1", "gateway=never").unwrap()], ..Change::default() };
    let run = DryRun::of(&survey(), &change).unwrap();
    expect("plan.txt", &text(&run));
    assert_eq!(run.exit(), Exit::Healthy);
    let nothing = DryRun::of(&survey(), &Change::default()).unwrap();
    assert!(nothing.nodes.is_empty(), "{:?}", nothing.nodes);
}

#[test]
fn a_dead_node_takes_with_it_what_only_it_can_carry() {
    let without = |survey: &Survey, node: &str| {
        DryRun::of(survey, &Change { without: Some(node.to_owned()), ..Change::default() }).unwrap()
    };
    // a2 steps in, once it has noticed.
    let survey = survey();
    let run = without(&survey, "a1");
    assert_eq!((run.reach.lost.len(), run.exit()), (0, Exit::Healthy));
    assert_eq!(run.reach.interrupted["a2"].iter().collect::<Vec<_>>(), ["b1"]);

    let mut objects = objects();
    let a2 = objects.nodes.get_mut("a2").unwrap();
    a2.annotations.insert("carrick.dev/gateway".to_owned(), "never".to_owned());
    let survey = Survey { agents: Vec::new(), objects: Some(objects) };
    let run = without(&survey, "a1");
    assert_eq!(run.reach.lost["a2"].iter().collect::<Vec<_>>(), ["b1"]);
    assert_eq!(run.exit(), Exit::Unhealthy);
    assert!(text(&run).contains("1 of 1 pairs reach each other no more:\n  a2 - b1\n"), "{}", text(&run));
}

#[test]
fn a_graph_is_drawn_in_three_languages() {
    let mut survey = survey();
    change(&mut survey, "b1", |page| page.peers.values_mut().for_each(|peer| peer.seconds_since_handshake = None));
    let graph = Graph::of(&survey).unwrap();
    let of = |format| graph.write(format, Screen::default()).unwrap().text;
    expect("graph.dot", &of(Format::Dot));
    expect("graph.mermaid", &of(Format::Mermaid));
    let svg = of(Format::Svg);
    assert!(svg.contains("<path class=\"broken\"") && svg.contains(">broken, 12.5 ms, 1.0 MB/s<"), "{svg}");
    assert!(!svg.contains("<script"));
}

#[test]
fn pictures_are_for_graphs_only() {
    assert_eq!(show(&Status::of(&survey()), Format::Svg, Screen::default()).unwrap_err().exit(), Exit::Usage);
    let json = show(&Status::of(&survey()), Format::Json, Screen::default()).unwrap();
    assert!(json.text.contains("\"healthy\": true"));
    assert!(show(&Status::of(&survey()), Format::Yaml, Screen::default()).unwrap().text.contains("healthy: true"));
}
