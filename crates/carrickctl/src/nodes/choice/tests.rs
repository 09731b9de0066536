//! Each rule that keeps a Node, and what is left to choose.

use super::*;
use crate::fixtures::{change, objects, set_unreachable, snapshot_of};
use crate::snapshot::{Answer, Snapshot};

/// The time of the tests, in seconds since 1970-01-01 UTC.
const NOW: i64 = 1_000_000;
const AFTER: Duration = Duration::from_secs(6 * 3600);
/// A silence that is long enough.
const LONG: i64 = 7 * 3600;

/// The mesh of the fixtures with a third node in `basel`, whose agent and kubelet are silent.
struct Case {
    nodes: Vec<ListedNode>,
    snapshot: Snapshot,
    replies: BTreeMap<String, Replies>,
    force: bool,
}

fn node(name: &str, readiness: Readiness) -> ListedNode {
    ListedNode {
        name: name.parse().unwrap(),
        uid: name.to_owned(),
        resource_version: "1".to_owned(),
        readiness,
        is_control_plane: false,
        hold: None,
    }
}

fn silent(seconds: i64) -> Readiness {
    Readiness::Silent { since: NOW - seconds }
}

fn no_reply(by: &str) -> Replies {
    Replies { silent_for: [by.to_owned()].into(), ..Replies::default() }
}

impl Case {
    fn new() -> Self {
        let mut objects = objects();
        let mut third = objects.nodes["a2"].clone();
        third.name = "a3".parse().unwrap();
        for (key, value) in [
            ("public-key", carrick_topology::PublicKey::from_bytes([9; 32]).to_string()),
            ("pod-cidrs", "10.42.9.0/24".to_owned()),
            ("mesh-addresses", "10.4.0.9".to_owned()),
            ("advertised-endpoints", "192.0.2.9:51820".to_owned()),
            ("advertised-internal-addresses", "10.1.0.9/24".to_owned()),
        ] {
            third.annotations.insert(format!("carrick.dev/{key}"), value);
        }
        objects.nodes.insert(third.name.clone(), third);
        let mut snapshot = snapshot_of(objects);
        set_unreachable(&mut snapshot, "a3");
        let nodes = ["a1", "a2", "b1"].map(|name| node(name, Readiness::Ready)).to_vec();
        let nodes = nodes.into_iter().chain([node("a3", silent(LONG))]).collect();
        Self { nodes, snapshot, replies: [("a3".to_owned(), no_reply("a1"))].into(), force: false }
    }

    fn node(&mut self, name: &str) -> &mut ListedNode {
        self.nodes.iter_mut().find(|node| node.name.as_str() == name).unwrap()
    }

    fn observations(&self) -> Observations<'_> {
        let mut observations = Observations::new(&self.nodes, &self.snapshot, NOW, AFTER);
        observations.replies.clone_from(&self.replies);
        observations
    }

    fn choose(&self) -> Choice {
        choose(&self.observations(), self.force)
    }

    fn chosen(&self) -> Vec<String> {
        self.choose().chosen.into_iter().map(|row| row.name).collect()
    }

    /// Why a3 is kept. It must not be chosen.
    fn kept(&self) -> String {
        let choice = self.choose();
        assert_eq!(choice.chosen, [], "{:?}", choice.kept);
        choice.kept.into_iter().find(|kept| kept.name == "a3").unwrap().reason
    }

    /// The agents and kubelets of nodes become silent, for the other nodes too.
    fn lose(&mut self, names: &[&str]) {
        for name in names {
            self.node(name).readiness = silent(LONG);
            set_unreachable(&mut self.snapshot, name);
            self.replies.insert((*name).to_owned(), no_reply("a1"));
        }
        for agent in &mut self.snapshot.agents {
            let Answer::Page(page) = &mut agent.answer else { continue };
            for path in page.paths.iter_mut().filter(|path| names.contains(&path.to.as_str())) {
                path.state = PathState::Down;
            }
            page.peers.values_mut().for_each(|peer| peer.seconds_since_handshake = Some(7 * 3600));
        }
    }
}

#[test]
fn a_node_that_nothing_reaches_is_chosen() {
    let case = Case::new();
    assert_eq!(case.observations().doubtful(), ["a3"]);
    let choice = case.choose();
    assert_eq!((choice.refusal, choice.kept), (None, Vec::new()));
    let [row] = choice.chosen.as_slice() else { panic!("{:?}", choice.chosen) };
    assert_eq!((row.name.as_str(), row.location.as_str(), row.silent_seconds), ("a3", "basel", 25_200));
}

#[test]
fn a_node_with_a_sign_of_life_is_kept_and_not_probed() {
    type Change = fn(&mut Case);
    let cases: [(Change, &str); 8] = [
        (|case| case.node("a3").hold = Some("in repair".to_owned()), "carrick.dev/hold: in repair"),
        (|case| case.node("a3").is_control_plane = true, "control plane"),
        (|case| case.node("a3").readiness = Readiness::NotReady, "its kubelet reports"),
        (|case| case.node("a3").readiness = silent(6 * 3600 - 1), "silent only for 5h59m"),
        (|case| case.snapshot = Case::answering(), "its agent answers"),
        (|case| change(&mut case.snapshot, "a2", |page| page.paths[0].to = "a3".parse().unwrap()), "the probes of a2"),
        (
            |case| {
                change(&mut case.snapshot, "b1", |page| {
                    page.paths[0].to = "a3".parse().unwrap();
                    page.paths[0].state = PathState::AgentAway;
                    page.paths.push(page.paths[0].clone());
                    page.paths[1].to = "a1".parse().unwrap();
                    page.paths[1].state = PathState::Up;
                });
            },
            "the probes of b1",
        ),
        (
            |case| {
                change(&mut case.snapshot, "b1", |page| {
                    let mut peer = page.peers.values().next().unwrap().clone();
                    peer.seconds_since_handshake = Some(6 * 3600 - 1);
                    page.peers.insert(carrick_topology::PublicKey::from_bytes([9; 32]), peer);
                });
            },
            "WireGuard handshake with b1 5h59m ago",
        ),
    ];
    for (alter, said) in cases {
        let mut case = Case::new();
        alter(&mut case);
        assert!(case.kept().contains(said), "{said}: {}", case.kept());
        assert!(case.observations().doubtful().is_empty(), "{said}");
    }
}

impl Case {
    /// A snapshot in which the agent of a3 answers.
    fn answering() -> Snapshot {
        let objects = Self::new().snapshot.objects.unwrap();
        snapshot_of(objects)
    }
}

#[test]
fn a_node_outside_the_mesh_is_kept() {
    let mut case = Case::new();
    let objects = case.snapshot.objects.as_mut().unwrap();
    objects.nodes.get_mut("a3").unwrap().annotations.remove("carrick.dev/public-key");
    assert!(case.kept().contains("not in the mesh"));
}

#[test]
fn a_node_that_replies_to_probes_or_that_no_agent_could_probe_is_kept() {
    let mut case = Case::new();
    case.replies.get_mut("a3").unwrap().replied_to.insert("b1".to_owned());
    assert!(case.kept().contains("it replies to probes of b1"));
    case.replies.insert("a3".to_owned(), Replies::default());
    assert!(case.kept().contains("no other agent could probe it"));
    case.replies.clear();
    assert!(case.kept().contains("no other agent could probe it"));
}

#[test]
fn agents_that_are_cut_off_choose_nothing_even_by_force() {
    type Change = fn(&mut StatusPage);
    let cut_off: [Change; 2] = [
        |page| page.api = ApiConnection::Lost,
        |page| page.paths.iter_mut().for_each(|path| path.state = PathState::Down),
    ];
    for alter in cut_off {
        let mut case = Case::new();
        case.force = true;
        for name in ["a1", "a2"] {
            change(&mut case.snapshot, name, alter);
        }
        // One of three agents on ready nodes is too few.
        let refusal = case.choose().refusal.unwrap();
        assert!(refusal.contains("on 3 nodes that are ready, only 1 agents"), "{refusal}");
        assert!(case.chosen().is_empty() && case.observations().doubtful().is_empty());
        change(&mut case.snapshot, "b1", alter);
        assert!(case.choose().refusal.unwrap().contains("no agent answers"));
        assert!(case.chosen().is_empty());
    }
}

#[test]
fn more_than_half_of_a_location_goes_only_by_force() {
    let mut case = Case::new();
    case.lose(&["a2"]);
    let kept = case.choose().kept;
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept.iter().all(|kept| kept.reason.contains("2 of 3 nodes of basel are gone")), "{kept:?}");
    case.force = true;
    assert_eq!(case.chosen(), ["a2", "a3"]);
    // A whole location of one node.
    let mut case = Case::new();
    case.lose(&["b1"]);
    assert_eq!(case.chosen(), ["a3"]);
    assert!(case.choose().kept[0].reason.contains("1 of 1 nodes of zürich"));
}

#[test]
fn a_clock_that_is_ahead_does_not_prolong_a_silence() {
    let mut case = Case::new();
    for name in ["a1", "a2", "b1"] {
        change(&mut case.snapshot, name, |page| page.unix_ms = 1000 * u64::try_from(NOW - 2 * 3600).unwrap());
    }
    assert!(case.kept().contains("silent only for 5h0m"));
    for name in ["a1", "a2", "b1"] {
        change(&mut case.snapshot, name, |page| page.unix_ms = 1000 * u64::try_from(NOW + 2 * 3600).unwrap());
    }
    assert_eq!(case.choose().chosen[0].silent_seconds, 25_200);
}
