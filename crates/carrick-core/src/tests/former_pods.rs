//! The pod CIDRs of nodes that are gone, and what the node waits for before it takes pods.

use std::sync::Arc;
use std::time::Duration;

use carrick_topology::plan::NextHop;
use ipnet::IpNet;

use super::fixture::{Fixture, cluster, interfaces, own_node, published_cluster};
use crate::{
    ApiState, ApplyOutcome, Core, DISK_PATIENCE, Effect, Event, FORMER_NETWORK_LIFETIME, Waiting, WriteOutcome,
};

const MOMENT: Duration = Duration::from_millis(50);

fn pods_of_b() -> IpNet {
    "10.42.2.0/24".parse().unwrap()
}

/// Whether the plan has the route to the pods of `b`, and what it is.
fn next_hop(core: &Core) -> Option<NextHop> {
    let routes = core.plan().into_iter().flat_map(|plan| &plan.routes);
    let to_b = routes.filter(|route| route.destination == pods_of_b());
    to_b.min_by_key(|route| route.metric()).map(|route| route.next_hop.clone())
}

#[test]
fn the_pod_cidr_of_a_deleted_node_stays_closed_for_an_hour() {
    let mut fixture = Fixture::steady();
    assert_eq!(next_hop(&fixture.core), Some(NextHop::WireGuard));
    fixture.show(&published_cluster(&["a"]));
    let effects = fixture.effects_within(Duration::from_secs(10));
    assert_eq!(next_hop(&fixture.core), Some(NextHop::Unreachable));
    let saved = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Persist(cluster) if cluster.former_pod_cidrs.values().flatten().any(|cidr| *cidr == pods_of_b())));
    assert!(saved, "the state on disk does not have it");

    fixture.wait(FORMER_NETWORK_LIFETIME - Duration::from_secs(20));
    assert_eq!(next_hop(&fixture.core), Some(NextHop::Unreachable));
    fixture.wait(Duration::from_secs(20));
    assert_eq!(next_hop(&fixture.core), None);
    assert!(fixture.core.cluster().former_pod_cidrs.is_empty());
}

#[test]
fn a_node_that_comes_back_is_reached_and_one_that_goes_again_is_closed_for_an_hour_again() {
    let mut fixture = Fixture::steady();
    let (with, without) = (published_cluster(&["a", "b"]), published_cluster(&["a"]));
    fixture.show(&without);
    fixture.wait(FORMER_NETWORK_LIFETIME / 2);
    fixture.show(&with);
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture.core), Some(NextHop::WireGuard));
    fixture.show(&without);
    fixture.wait(FORMER_NETWORK_LIFETIME - Duration::from_secs(1));
    assert_eq!(next_hop(&fixture.core), Some(NextHop::Unreachable));
    fixture.show(&with);
    fixture.wait(FORMER_NETWORK_LIFETIME * 2);
    assert_eq!(next_hop(&fixture.core), Some(NextHop::WireGuard));
}

#[test]
fn a_pod_cidr_that_a_node_changes_stays_closed_too() {
    let mut fixture = Fixture::steady();
    let mut changed = published_cluster(&["a", "b"]);
    changed.nodes.get_mut("b").unwrap().pod_cidrs = ["10.42.7.0/24".parse().unwrap()].into();
    fixture.show(&changed);
    fixture.wait(MOMENT);
    assert_eq!(next_hop(&fixture.core), Some(NextHop::Unreachable));
}

#[test]
fn an_agent_that_restarts_keeps_the_pod_cidrs_of_nodes_that_are_gone_for_another_hour() {
    let mut fixture = Fixture::steady();
    fixture.show(&published_cluster(&["a"]));
    let saved = Arc::clone(fixture.core.cluster());

    let mut restarted = Fixture::new();
    restarted.event(Event::Restored(saved));
    restarted.report_surroundings();
    restarted.wait(DISK_PATIENCE);
    assert_eq!(next_hop(&restarted.core), Some(NextHop::Unreachable));
    restarted.show_first(&published_cluster(&["a"]));
    restarted.wait(FORMER_NETWORK_LIFETIME / 2);
    assert_eq!(next_hop(&restarted.core), Some(NextHop::Unreachable));
    restarted.wait(FORMER_NETWORK_LIFETIME);
    assert_eq!(next_hop(&restarted.core), None);
}

fn tells_of_pods(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::WritePodFiles(_)))
}

#[test]
fn a_node_takes_no_pods_before_the_api_has_accepted_what_it_publishes() {
    let mut fixture = Fixture::new();
    fixture.report_surroundings();
    fixture.event(Event::Api(ApiState::Synced));
    fixture.show_first(&cluster(&["a", "b"]));
    fixture.effects_within(MOMENT);
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    assert!(!tells_of_pods(&fixture.effects_within(MOMENT)));
    assert_eq!(fixture.core.waiting(), Waiting::ForPublication);
    fixture.event(Event::Published(WriteOutcome::Failed));
    assert!(!tells_of_pods(&fixture.effects_within(MOMENT)));
    assert_eq!(fixture.core.waiting(), Waiting::ForPublication);
    fixture.event(Event::Published(WriteOutcome::Complete));
    assert!(tells_of_pods(&fixture.effects_within(MOMENT)));
    assert_eq!(fixture.core.waiting(), Waiting::ForNothing);
}

#[test]
fn a_restart_without_the_api_takes_pods_if_the_api_had_accepted_the_same_before() {
    let saved = Arc::new(published_cluster(&["a", "b"]));
    for is_same in [true, false] {
        let mut fixture = Fixture::new();
        fixture.event(Event::Restored(Arc::clone(&saved)));
        let mut own = own_node();
        if !is_same {
            own.pod_cidrs = ["10.42.77.0/24".parse().unwrap()].into();
        }
        fixture.event(Event::OwnNode(Box::new(own)));
        fixture.event(Event::Host(interfaces().into()));
        fixture.wait(DISK_PATIENCE);
        fixture.event(Event::Applied(ApplyOutcome::Changed));
        assert_eq!(tells_of_pods(&fixture.effects_within(MOMENT)), is_same);
    }
}

#[test]
fn a_node_that_was_accepted_stays_so_when_it_publishes_something_else() {
    let mut fixture = Fixture::steady();
    let mut own = own_node();
    own.pod_cidrs.insert("fd42:0:0:1::/64".parse().unwrap());
    fixture.event(Event::OwnNode(Box::new(own)));
    fixture.wait(MOMENT);
    assert_eq!(fixture.core.waiting(), Waiting::ForNothing);
}
