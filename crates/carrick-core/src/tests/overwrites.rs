//! Another program changes what the agent has published.

use std::time::Duration;

use carrick_topology::discovery::OwnNode;
use carrick_topology::model::{InternalAddresses, Node};
use carrick_topology::{Cluster, Published};

use super::fixture::{Fixture, cluster, interfaces, name, own_node, published_cluster};
use crate::{ApiState, Effect, Event, Fault, Now, WriteOutcome};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
const LATENCY: Duration = Duration::from_millis(5);

/// The API server of this test: what it has, and how often it was written.
struct Api {
    cluster: Cluster,
    writes: Vec<Now>,
}

impl Api {
    fn new(cluster: Cluster) -> Self {
        Self { cluster, writes: Vec::new() }
    }

    /// The agent writes what it wants to; the API accepts it. Returns whether it wrote.
    fn take_publications(&mut self, agent: &mut Fixture) -> bool {
        let mut has_written = false;
        for effect in agent.effects() {
            if let Effect::Publish(published) = &effect {
                write(self.cluster.nodes.get_mut("a").unwrap(), published);
                self.writes.push(agent.now);
                has_written = true;
            }
            agent.succeed(effect);
        }
        has_written
    }

    fn writes_in(&self, from: Now, time: Duration) -> usize {
        self.writes.iter().filter(|at| (from..from + time).contains(*at)).count()
    }
}

fn write(node: &mut Node, published: &Published) {
    node.public_key = published.public_key;
    node.public_key_proof = published.public_key_proof;
    node.pod_cidrs.clone_from(&published.pod_cidrs);
    node.mesh_addresses.clone_from(&published.mesh_addresses);
    node.advertised_endpoints.clone_from(&published.advertised_endpoints);
    node.internal_addresses = InternalAddresses::Advertised(published.advertised_internal_addresses.clone());
    node.observed_endpoints.clone_from(&published.observed_endpoints);
    node.agent.clone_from(&published.agent);
}

/// An agent of node `a` whose machine has this public address.
fn agent(address: &str, shown: &Cluster) -> Fixture {
    let mut agent = Fixture::new();
    agent.show_first(shown);
    let own = OwnNode { external_ips: vec![address.parse().unwrap()], ..own_node() };
    agent.event(Event::OwnNode(Box::new(own)));
    agent.event(Event::Host(interfaces().into()));
    agent.event(Event::Api(ApiState::Synced));
    agent
}

/// Lets both agents run. Each learns of the other's writes after some milliseconds.
fn run(api: &mut Api, agents: &mut [Fixture], time: Duration) {
    let end = agents[0].now + time;
    loop {
        let mut has_written = false;
        for agent in agents.iter_mut() {
            has_written |= api.take_publications(agent);
        }
        let next = agents.iter().filter_map(|agent| agent.core.next_deadline()).min();
        let now = agents[0].now;
        let next = match (has_written, next) {
            (true, _) => now + LATENCY,
            (false, Some(next)) => next.max(now),
            (false, None) => end,
        };
        if next >= end {
            break;
        }
        for agent in agents.iter_mut() {
            agent.now = next;
            agent.show(&api.cluster);
            agent.core.handle_timeout(next);
        }
    }
    for agent in agents {
        agent.now = end;
    }
}

fn is_named(agent: &Fixture) -> bool {
    agent.core.faults().contains(&Fault::AnnotationsOverwritten)
}

#[test]
fn two_agents_of_one_node_write_seldom_and_name_each_other() {
    let shown = published_cluster(&["a", "b"]);
    let mut api = Api::new(shown.clone());
    let mut agents = [agent("198.51.100.1", &shown), agent("203.0.113.9", &shown)];
    let start = agents[0].now;
    run(&mut api, &mut agents, HOUR);
    let first_hour = api.writes_in(start, HOUR);
    assert!((10..80).contains(&first_hour), "{first_hour} writes of two agents in the first hour");
    assert!(agents.iter().all(is_named), "both say that another program writes");
    run(&mut api, &mut agents, HOUR);
    let second_hour = api.writes_in(start + HOUR, HOUR);
    assert!((4..40).contains(&second_hour), "{second_hour} writes in the second hour");
    assert!(agents.iter().all(|agent| agent.core.readiness() == crate::Readiness::Ready), "both stay ready");

    // The copy is stopped: the agent writes once more, and the fault is over.
    let [mut only, _] = agents;
    run(&mut api, std::slice::from_mut(&mut only), HOUR);
    let endpoint = "198.51.100.1".parse().unwrap();
    assert!(api.cluster.nodes["a"].advertised_endpoints.contains(&endpoint), "{:?}", api.cluster.nodes["a"]);
    assert!(!is_named(&only), "the fault is over");
    assert!(api.writes_in(start + 2 * HOUR, HOUR) <= 1);
}

#[test]
fn a_change_by_a_person_is_repaired_at_once_each_time() {
    let shown = published_cluster(&["a", "b"]);
    let mut api = Api::new(shown.clone());
    let mut only = [agent("203.0.113.9", &shown)];
    run(&mut api, &mut only, HOUR);
    for _ in 0..10 {
        let written = api.writes.len();
        api.cluster.nodes.get_mut("a").unwrap().advertised_endpoints.clear();
        let [agent] = &mut only;
        agent.show(&api.cluster);
        assert!(api.take_publications(agent), "repaired in the same moment");
        run(&mut api, &mut only, HOUR);
        assert_eq!(api.writes.len(), written + 1);
        assert!(!is_named(&only[0]));
    }
}

#[test]
fn what_the_node_itself_has_new_is_written_although_another_program_overwrites_it() {
    let shown = published_cluster(&["a", "b"]);
    let mut api = Api::new(shown.clone());
    let mut agents = [agent("198.51.100.1", &shown), agent("203.0.113.9", &shown)];
    run(&mut api, &mut agents, HOUR);
    let [mut first, _] = agents;
    let written = api.writes.len();
    let moved = OwnNode { external_ips: vec!["192.0.2.77".parse().unwrap()], ..own_node() };
    first.show(&api.cluster);
    first.event(Event::OwnNode(Box::new(moved)));
    run(&mut api, std::slice::from_mut(&mut first), 31 * SECOND);
    assert!(api.writes.len() > written);
    let endpoint = "192.0.2.77".parse().unwrap();
    assert!(api.cluster.nodes["a"].advertised_endpoints.contains(&endpoint));
}

/// A webhook that changes the annotations of every write.
#[test]
fn what_is_accepted_and_never_shown_is_written_seldom() {
    let mut agent = Fixture::new();
    agent.report_surroundings();
    agent.show_first(&cluster(&["a", "b"]));
    agent.event(Event::Api(ApiState::Synced));
    let mut writes = 0;
    for _ in 0..3600 {
        for effect in agent.effects_within(SECOND) {
            writes += usize::from(matches!(effect, Effect::Publish(_)));
            agent.succeed(effect);
        }
    }
    assert!((5..40).contains(&writes), "{writes} writes in an hour");
    assert!(is_named(&agent));
    assert_eq!(agent.core.cluster().nodes[&name("a")].public_key, None);
    agent.event(Event::Published(WriteOutcome::Failed));
}

/// A controller that removes the annotations of agents once a minute.
#[test]
fn a_node_whose_annotations_are_removed_again_and_again_comes_back_within_seconds() {
    let shown = published_cluster(&["a", "b"]);
    let mut api = Api::new(shown.clone());
    let mut only = [agent("203.0.113.9", &shown)];
    run(&mut api, &mut only, HOUR);
    let kept = api.cluster.nodes["a"].clone();
    for round in 0..30 {
        let node = api.cluster.nodes.get_mut("a").unwrap();
        match round % 3 {
            0 => (node.public_key, node.public_key_proof) = (None, None),
            1 => node.pod_cidrs.clear(),
            _ => node.mesh_addresses.clear(),
        }
        let written = api.writes.len();
        run(&mut api, &mut only, 11 * SECOND);
        assert_eq!(api.writes.len(), written + 1, "one write");
        assert_eq!(api.cluster.nodes["a"], kept, "the node is in the mesh again");
        run(&mut api, &mut only, 49 * SECOND);
    }
    assert!(is_named(&only[0]));
}

#[test]
fn failures_before_a_write_do_not_delay_the_next_one() {
    let shown = published_cluster(&["a", "b"]);
    let mut agent = agent("203.0.113.9", &shown);
    for _ in 0..8 {
        for effect in agent.effects_within(60 * SECOND) {
            if matches!(effect, Effect::Publish(_)) {
                agent.event(Event::Published(WriteOutcome::Failed));
            } else {
                agent.succeed(effect);
            }
        }
    }
    let mut api = Api::new(shown);
    for _ in 0..600 {
        if !api.writes.is_empty() {
            break;
        }
        run(&mut api, std::slice::from_mut(&mut agent), SECOND);
    }
    assert_eq!(api.writes.len(), 1);
    let moved = OwnNode { external_ips: vec!["192.0.2.77".parse().unwrap()], ..own_node() };
    agent.event(Event::OwnNode(Box::new(moved)));
    let written = api.writes.len();
    run(&mut api, std::slice::from_mut(&mut agent), 2 * SECOND);
    assert_eq!(api.writes.len(), written + 1);
}
