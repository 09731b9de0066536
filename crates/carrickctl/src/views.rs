//! Compares the tables of all commands with the files in `src/views/`. `UPDATE_VIEWS=1 cargo test -p carrickctl --lib` rewrites the
//! files.

use carrick_kube::agents::NamedPod;

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
    let refused = |between, from: &str, to: &str| {
        let refused = Latency::of(&snapshot, between, Form::Histogram(from.into(), to.into())).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage);
        refused.to_string()
    };
    let of_nodes = refused(Between::Locations, "a1", "b1");
    assert_eq!(of_nodes, "`a1` and `b1` are nodes: name locations (basel, zürich), or add --nodes");
    let of_locations = refused(Between::Nodes, "basel", "zürich");
    assert_eq!(of_locations, "`basel` and `zürich` are locations: name nodes, or omit --nodes");
    assert!(refused(Between::Nodes, "a2", "b1").ends_with("; `carrickctl latency --nodes` lists the probed paths"));
    assert!(refused(Between::Locations, "a2", "b1").ends_with("; `carrickctl latency` lists the probed paths"));
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
fn an_end_that_is_no_node_may_be_meant_as_a_pod() {
    let cluster_plan = ClusterPlan::of(&snapshot()).unwrap();
    let refused = End::of(&cluster_plan, &NamedPods::new(), "a1-pod1").unwrap_err();
    let text = "there is no node `a1-pod1`; the nodes are: a1, a2, b1; pods: NAMESPACE/NAME, which needs a kubeconfig, or their address";
    assert_eq!((refused.to_string().as_str(), refused.exit()), (text, Exit::Usage));
}

#[test]
fn a_node_without_a_plan_is_not_taken_for_a_pod() {
    let mut objects = objects();
    objects.nodes.get_mut("a2").unwrap().annotations.remove("carrick.dev/public-key");
    let cluster_plan = ClusterPlan::of(&Snapshot { agents: Vec::new(), objects: Some(objects) }).unwrap();
    let refused = End::of(&cluster_plan, &NamedPods::new(), "a2").unwrap_err().to_string();
    assert!(refused.contains("not a member of the mesh") && !refused.contains("pods:"), "{refused}");
}

#[test]
fn a_trace_is_the_same_without_objects() {
    let mut snapshot = snapshot();
    let with_objects = trace(&snapshot, "10.42.2.7", "b1");
    snapshot.objects = None;
    let without = trace(&snapshot, "10.42.2.7", "b1");
    assert_eq!(without.paths, with_objects.paths);
    assert!(without.notes[0].starts_with("computed without the API server: "), "{:?}", without.notes);
}

#[test]
fn a_trace_to_an_address_claims_no_pod_that_is_not_known() {
    let snapshot = snapshot();
    let end = |trace: &Trace| (trace.paths[0].end.clone(), trace.paths[0].arrives, trace.exit());
    let by_address = trace(&snapshot, "a1", "10.42.3.99");
    let text = "reaches b1, which holds the pod CIDR of 10.42.3.99".to_owned();
    assert_eq!(end(&by_address), (text, true, Exit::Healthy));
    let cluster_plan = ClusterPlan::of(&snapshot).unwrap();
    let pod = NamedPod { node: None, addresses: vec!["10.42.3.7".parse().unwrap()] };
    let pods = NamedPods::from([("default/web".to_owned(), pod)]);
    let [from, to] = ["a1", "default/web"].map(|end| End::of(&cluster_plan, &pods, end).unwrap());
    let by_name = Trace::of(&snapshot, &cluster_plan, &from, &to).unwrap();
    assert_eq!(end(&by_name), ("reaches the pod default/web on b1".to_owned(), true, Exit::Healthy));
}

#[test]
fn a_path_that_is_down_is_in_the_verdict() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "a1", |page| page.paths[1].state = carrick_probe::PathState::Down);
    let down = trace(&snapshot, "10.42.2.7", "10.42.3.7");
    let verdict = "by the plans, the packet reaches b1, which holds the pod CIDR of 10.42.3.7, packets up to 1440 bytes, but: the path from a1 to b1 is down: the probes of a1 are not answered\n";
    assert!(text(&down).contains(verdict), "{}", text(&down));
    assert_eq!(text(&down).matches("is down").count(), 1, "{}", text(&down));
    assert_eq!(down.exit(), Exit::Unhealthy);
}

#[test]
fn an_address_outside_the_mesh_is_no_fault() {
    let snapshot = snapshot();
    let outside = trace(&snapshot, "10.42.1.2", "8.8.8.8");
    let shown = text(&outside);
    assert!(shown.starts_with("pod on a1 (10.42.1.2, masqueraded as 10.1.0.1) to 8.8.8.8\n"), "{shown}");
    assert!(shown.ends_with("\nleaves the mesh by a1's own routes (masqueraded)\n"), "{shown}");
    assert_eq!((outside.paths[0].arrives, outside.exit()), (false, Exit::Healthy));
    // A mesh address that no node has is inside the mesh.
    let no_node = trace(&snapshot, "10.42.1.2", "10.4.0.99");
    assert_eq!((no_node.paths[0].leaves_mesh, no_node.exit()), (false, Exit::Unhealthy));
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
fn without_objects_a_plan_is_compared_only_with_that_of_a_failed_node() {
    let without = |node: &str| Change { without: Some(node.to_owned()), ..Change::default() };
    let annotations = vec![Annotation::parse("a1", "gateway=never").unwrap()];
    let annotated = Change { annotations, ..without("a2") };
    let mut snapshot = snapshot();
    for change in [Change::default(), annotated.clone(), without("a2")] {
        DryRun::of(&snapshot, &change).unwrap();
    }
    snapshot.objects = None;
    for change in [Change::default(), annotated] {
        let refused = DryRun::of(&snapshot, &change).unwrap_err();
        let text = "without the API server and without `-f`, only `--without` works: use a kubeconfig or `-f FILE`";
        assert_eq!((refused.to_string().as_str(), refused.exit()), (text, Exit::Usage));
    }
    DryRun::of(&snapshot, &without("a2")).unwrap();
}

#[test]
fn ignored_values_of_saved_objects_are_shown() {
    let mut objects = objects();
    let a1 = objects.nodes.get_mut("a1").unwrap();
    a1.annotations.insert("carrick.dev/gateway".to_owned(), "perhaps".to_owned());
    let snapshot = Snapshot { agents: Vec::new(), objects: Some(objects) };
    let shown = text(&DryRun::of(&snapshot, &Change::default()).unwrap());
    let expected = "\nignored values:\n  node `a1`: carrick.dev/gateway `perhaps` ";
    assert!(shown.contains(expected), "{shown}");
    let shown = text(&Status::of(&snapshot));
    assert!(shown.contains(expected.trim_start()) && shown.ends_with("no agent was asked\n"), "{shown}");
}

#[test]
fn a_path_that_is_down_loses_everything() {
    let mut snapshot = snapshot();
    change(&mut snapshot, "a1", |page| page.paths[1].state = carrick_probe::PathState::Down);
    let of = |snapshot: &Snapshot| Status::of(snapshot).nodes[0].worst_loss;
    assert_eq!(of(&snapshot), Some(1.0));
    change(&mut snapshot, "a1", |page| page.paths[1].loss = None);
    assert_eq!(of(&snapshot), Some(1.0));
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
