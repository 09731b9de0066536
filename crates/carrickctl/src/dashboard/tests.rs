use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{PathState, ProbedPath, RoundTrip, RoundTripCounts};
use carrick_status::{AgentEvent, AgentEventKind, StatusPage, Traffic};
use carrick_topology::plan::{LocationSummary, NodePlan, PathKind, Role};
use serde_json::json;

use super::*;
use crate::fetch_error::FetchError;
use crate::snapshot::{Agent, Answer, Snapshot};

const NOW: u64 = 1_700_000_000_000;

fn path(to: &str, location: &str, state: PathState, p50_us: u64) -> ProbedPath {
    ProbedPath {
        to: to.parse().unwrap(),
        location: location.parse().unwrap(),
        kind: PathKind::Tunnel,
        address: IpAddr::from([10, 4, 0, 1]),
        state,
        sent: 100,
        answered: 99,
        loss: Some(0.01),
        round_trip: Some(RoundTrip { min_us: 1, p50_us, p99_us: 2 * p50_us, last_us: p50_us, jitter_us: 5 }),
        histogram: RoundTripCounts::default(),
        mtu: Some(1420),
    }
}

fn page(node: &str, location: &str, paths: Vec<ProbedPath>) -> StatusPage {
    let plan = plan(node, location);
    StatusPage {
        version: "0.1.0".to_owned(),
        node: Some(node.parse().unwrap()),
        unix_ms: NOW,
        ready: true,
        plan: Some(plan.into()),
        paths,
        ..StatusPage::default()
    }
}

/// The plan of a node that knows no other node.
fn plan(node: &str, location: &str) -> NodePlan {
    use carrick_topology::{Cluster, Liveness, Node, PublicKey, Settings};
    let name: carrick_topology::NodeName = node.parse().unwrap();
    let mut cluster = Cluster::default();
    let mut me = Node::new(name.clone(), 0);
    me.public_key = Some(PublicKey::from_bytes([1; 32]));
    cluster.nodes.insert(name.clone(), me);
    let plan = carrick_topology::plan(&cluster, &Settings::default(), &Liveness::default(), &name).unwrap();
    let place = LocationSummary { name: location.parse().unwrap(), role: Role::Active, ..plan.location };
    NodePlan { location: place, ..plan }
}

fn agent(name: &str, answer: Answer) -> Agent {
    Agent { name: name.to_owned(), pod: None, socket: None, answer, took: Duration::ZERO }
}

fn snapshot(pages: Vec<StatusPage>) -> Snapshot {
    let agents = pages.into_iter().map(|page| agent(page.node.clone().unwrap().as_str(), Answer::Page(Box::new(page))));
    Snapshot { agents: agents.collect(), objects: None }
}

#[test]
fn a_link_has_the_worse_state_of_its_directions() {
    let a = page("a1", "a", vec![path("b1", "b", PathState::Up, 400), path("h1", "home", PathState::Unknown, 0)]);
    let b = page("b1", "b", vec![path("a1", "a", PathState::Down, 900)]);
    let h = page("h1", "home", vec![path("a1", "a", PathState::Up, 500)]);
    let data = DashboardData::of(&snapshot(vec![a, b, h]), &Memory::default(), NOW);
    let ends: Vec<_> = data.links.iter().map(|link| (link.low.as_str(), link.high.as_str(), link.state)).collect();
    assert_eq!(ends, [("a1", "b1", PathState::Down), ("a1", "h1", PathState::Up)]);
    assert_eq!(data.links[0].from_low.as_ref().unwrap().p50_us, Some(400));
    assert_eq!(data.links[0].from_high.as_ref().unwrap().p50_us, Some(900));
}

#[test]
fn a_pair_contains_the_measurements_of_its_first_location() {
    let mut slow = page("a2", "a", vec![path("b1", "b", PathState::Up, 700), path("b2", "b", PathState::Down, 9_999)]);
    slow.traffic = vec![Traffic {
        from: "a".parse().unwrap(),
        to: "b".parse().unwrap(),
        sent_bytes: 5,
        sent_bytes_per_second: 2.0,
    }];
    let mut quick = page("a1", "a", vec![path("b1", "b", PathState::Up, 400)]);
    quick.traffic.clone_from(&slow.traffic);
    let back = page("b1", "b", vec![path("a1", "a", PathState::Down, 100)]);
    let data = DashboardData::of(&snapshot(vec![quick, slow, back]), &Memory::default(), NOW);
    let json = serde_json::to_value(&data.pairs).unwrap();
    assert_eq!(
        json,
        json!([
            {"from": "a", "to": "b", "state": "partial", "paths": 3, "down": 1, "p50_us": 700, "loss": 0.01, "mtu": 1420,
             "sent_bytes_per_second": 4.0},
            {"from": "b", "to": "a", "state": "down", "paths": 1, "down": 1, "p50_us": null, "loss": null, "mtu": null,
             "sent_bytes_per_second": 0.0},
        ])
    );
}

#[test]
fn an_unreachable_node_has_the_location_that_others_report_and_may_be_down() {
    let mut a = page("a1", "a", vec![path("b1", "b", PathState::Down, 1), path("b2", "b", PathState::AgentAway, 1)]);
    a.liveness.down.insert("b1".parse().unwrap());
    let mut snapshot = snapshot(vec![a]);
    snapshot.agents.push(agent("b1", Answer::Unreachable(FetchError::Timeout(Duration::from_secs(2)))));
    snapshot.agents.push(agent("b2", Answer::Unreachable(FetchError::Timeout(Duration::from_secs(2)))));
    snapshot.agents.push(agent("z", Answer::NoAgent));
    let data = DashboardData::of(&snapshot, &Memory::default(), NOW);
    let places: Vec<_> = data.locations.iter().map(|place| place.name.as_ref().map(ToString::to_string)).collect();
    assert_eq!(places, [Some("a".to_owned()), Some("b".to_owned()), None]);
    let states: Vec<_> =
        data.locations.iter().flat_map(|place| &place.nodes).map(|node| (node.name.as_str(), node.state)).collect();
    let expected = [
        ("a1", NodeState::Unhealthy),
        ("b1", NodeState::Down),
        ("b2", NodeState::Unreachable),
        ("z", NodeState::NotInMesh),
    ];
    assert_eq!(states, expected);
    assert_eq!(data.locations[1].nodes[1].problems, ["no answer within 2 s"]);
}

#[test]
fn a_node_that_answers_another_node_is_not_down() {
    let mut cut_off = page("h1", "home", vec![path("a1", "a", PathState::Down, 1)]);
    cut_off.liveness.down.insert("a1".parse().unwrap());
    let other = page("b1", "b", vec![path("a1", "a", PathState::Up, 1)]);
    let data = DashboardData::of(&snapshot(vec![page("a1", "a", vec![]), other, cut_off]), &Memory::default(), NOW);
    let node = &data.locations[0].nodes[0];
    assert_eq!(
        (node.state, node.problems.as_slice()),
        (NodeState::Unhealthy, ["down according to h1".to_owned()].as_slice())
    );
}

#[test]
fn an_agent_that_no_longer_answers_keeps_its_name_and_location() {
    let with_socket = |name: &str, answer| Agent { socket: Some("/one.sock".into()), ..agent(name, answer) };
    let inner = page("a2", "a", vec![]);
    let mut before = Snapshot { agents: vec![with_socket("a2", Answer::Page(Box::new(inner)))], objects: None };
    let mut after = Snapshot {
        agents: vec![with_socket("/one.sock", Answer::Unreachable(FetchError::Timeout(Duration::from_secs(2))))],
        objects: None,
    };
    let mut memory = Memory::default();
    memory.learn(&mut before);
    memory.learn(&mut after);
    let data = DashboardData::of(&after, &memory, NOW);
    assert_eq!(data.locations[0].name.as_ref().unwrap().as_str(), "a");
    assert_eq!(
        (data.locations[0].nodes[0].name.as_str(), data.locations[0].nodes[0].state),
        ("a2", NodeState::Unreachable)
    );
}

#[test]
fn events_are_merged_and_wrong_clocks_are_corrected() {
    let event = |unix_ms, text: &str| AgentEvent { unix_ms, kind: AgentEventKind::Gateway, text: text.to_owned() };
    let mut right = page("a1", "a", vec![]);
    right.events = vec![event(NOW - 9_000, "first"), event(NOW - 1_000, "third"), event(NOW - 1_000, "fourth")];
    let mut slow = page("b1", "b", vec![]);
    slow.unix_ms = NOW - 3_600_000;
    slow.events = vec![event(slow.unix_ms - 5_000, "second")];
    let events = merge(&[&right, &slow], NOW);
    let seen: Vec<_> = events.iter().map(|event| (event.text.as_str(), NOW - event.unix_ms)).collect();
    assert_eq!(seen, [("fourth", 1_000), ("third", 1_000), ("second", 5_000), ("first", 9_000)]);
}

#[test]
fn an_address_that_other_machines_reach_needs_allow_remote() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = DashboardOptions {
            listen: "0.0.0.0:0".parse().unwrap(),
            allow_remote: false,
            interval: Duration::from_secs(1),
        };
        let access =
            crate::access::AccessOptions { sockets: vec!["/nonexistent".parse().unwrap()], ..Default::default() };
        let refusal = serve(&options, Access::open(&access).await.unwrap()).await.unwrap_err();
        assert!(matches!(&refusal, Failure::Usage(text) if text.contains("--allow-remote")), "{refusal}");
    });
}

/// The entries of a table in the page's script.
fn script_table(name: &str) -> &'static str {
    let script = include_str!("page/words.js");
    let start = script.find(&format!("const {name} = {{")).unwrap_or_else(|| panic!("no table {name}"));
    let table = &script[start..];
    &table[..table.find("};").unwrap()]
}

/// Checks that a table of the page's script has a text for each value.
fn assert_has_text_for<T: serde::Serialize>(name: &str, values: impl IntoIterator<Item = T>) {
    let table = script_table(name);
    for value in values {
        let json = serde_json::to_string(&value).unwrap();
        let key = json.trim_matches('"');
        let has_key = [format!(" {key}: "), format!(" {json}: ")].iter().any(|entry| table.contains(entry));
        assert!(has_key, "{name} has no text for {key}: {table}");
    }
}

#[test]
fn the_page_has_a_text_for_every_state_and_kind() {
    let states =
        [NodeState::Healthy, NodeState::Unhealthy, NodeState::Unreachable, NodeState::Down, NodeState::NotInMesh];
    assert_has_text_for("NODE_STATES", states);
    assert_has_text_for("NODE_SIGNS", states);
    assert_has_text_for("SHORT_STATES", states.into_iter().filter(|state| *state != NodeState::Healthy));
    assert_has_text_for("ROLES", [Role::Active, Role::Standby, Role::Inner]);
    assert_has_text_for("LINK_KINDS", [LinkKind::Tunnel, LinkKind::Over, LinkKind::Inside]);
    assert_has_text_for("STATES", [PathState::Up, PathState::AgentAway, PathState::Down, PathState::Unknown]);
    let kinds = [
        AgentEventKind::Gateway,
        AgentEventKind::DriftRepair,
        AgentEventKind::Warning,
        AgentEventKind::Path,
        AgentEventKind::Failure,
        AgentEventKind::Api,
    ];
    assert_has_text_for("KINDS", kinds);
}
