//! From the start of the agent to its first plan.

use std::sync::Arc;
use std::time::Duration;

use carrick_topology::discovery::{Interface, InterfaceAddress, OwnFacts};
use carrick_topology::model::Family;
use carrick_topology::{Cluster, Settings};

use super::fixture::{
    Fixture, applies, causes, cluster, facts, interfaces, key, name, own_key, own_node, published_cluster,
};
use crate::own;
use crate::{ApiState, ApplyOutcome, DISK_PATIENCE, Effect, Event, Waiting, WriteOutcome};

#[test]
fn the_agent_waits_for_the_cluster_then_plans_publishes_and_persists() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.core.waiting(), Waiting::ForCluster);
    assert!(fixture.wait(Duration::from_secs(3600)).is_empty(), "there is nothing to do without a cluster");

    fixture.report_surroundings();
    fixture.event(Event::Api(ApiState::Synced));
    fixture.show_first(&cluster(&["a", "b"]));
    let effects = fixture.effects_within(Duration::from_millis(50));
    assert_eq!(causes(&effects).len(), 1, "{effects:?}");
    let is_publication =
        |effect: &Effect| matches!(effect, Effect::Publish(wanted) if wanted.public_key == Some(key(1)));
    assert!(effects.iter().any(is_publication));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Persist(_))));
    assert_eq!(fixture.core.waiting(), Waiting::ForPublication);
    assert!(!fixture.core.has_applied());
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    assert!(fixture.core.has_applied());
    fixture.event(Event::Published(WriteOutcome::Complete));
    assert_eq!(fixture.core.waiting(), Waiting::ForNothing);
}

#[test]
fn a_missing_own_node_is_waited_for_and_removes_nothing() {
    let mut fixture = Fixture::new();
    fixture.show_first(&cluster(&["b"]));
    fixture.wait(Duration::from_millis(50));
    assert_eq!(fixture.core.waiting(), Waiting::ForNode);

    let mut fixture = Fixture::steady();
    let plan = fixture.core.plan().cloned();
    fixture.show(&cluster(&["b"]));
    let effects = fixture.wait(Duration::from_secs(1));
    assert!(applies(&effects).is_empty(), "{effects:?}");
    assert_eq!(fixture.core.plan().cloned(), plan);
}

#[test]
fn the_state_on_disk_counts_until_the_api_answers() {
    let mut fixture = Fixture::new();
    fixture.report_surroundings();
    fixture.event(Event::Restored(Arc::new(cluster(&["a", "b"]))));
    let effects = fixture.effects_within(Duration::from_millis(50));
    assert_eq!(causes(&effects).len(), 1, "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Persist(_) | Effect::Publish(_))), "{effects:?}");

    fixture.event(Event::Applied(ApplyOutcome::Changed));
    fixture.show_first(&cluster(&["a", "b", "c"]));
    fixture.event(Event::Restored(Arc::new(cluster(&["a"]))));
    fixture.wait(Duration::from_millis(50));
    assert_eq!(fixture.core.plan().unwrap().wireguard.peers.len(), 2, "the disk must not override the API");
}

#[test]
fn stale_state_from_disk_cuts_nothing_that_the_kernel_carries() {
    let mut fixture = Fixture::new();
    fixture.event(Event::Restored(Arc::new(cluster(&["a", "b"]))));
    let mesh = Interface {
        name: "carrick0".parse().unwrap(),
        addresses: vec![InterfaceAddress::primary("10.4.0.1/32".parse().unwrap())],
        ..interfaces()[0].clone()
    };
    fixture.event(Event::OwnNode(Box::new(own_node())));
    fixture.event(Event::Host(vec![interfaces()[0].clone(), mesh].into()));
    let effects = fixture.wait(DISK_PATIENCE / 2);
    assert!(applies(&effects).is_empty(), "{effects:?}");

    fixture.show_first(&cluster(&["a", "b", "c"]));
    let effects = fixture.wait(Duration::from_millis(50));
    assert_eq!(applies(&effects).len(), 1, "{effects:?}");
    assert_eq!(fixture.core.plan().unwrap().wireguard.peers.len(), 2);
}

#[test]
fn the_state_on_disk_counts_after_10_s_without_the_api() {
    let mut fixture = Fixture::new();
    fixture.event(Event::Restored(Arc::new(published_cluster(&["a", "b"]))));
    let effects = fixture.wait(DISK_PATIENCE + Duration::from_millis(50));
    assert_eq!(applies(&effects).len(), 1, "{effects:?}");
}

#[test]
fn a_node_that_is_not_in_the_restored_state_waits_for_its_object() {
    let mut fixture = Fixture::new();
    fixture.event(Event::Restored(Arc::new(Cluster::default())));
    fixture.wait(DISK_PATIENCE + Duration::from_millis(50));
    assert_eq!(fixture.core.waiting(), Waiting::ForNode);
}

#[test]
fn a_node_whose_kernel_has_no_ipv6_publishes_none() {
    let mut settings = Settings::default();
    let dual = ["10.42.1.0/24", "fd42:1::/64"].map(|cidr| cidr.parse().unwrap());
    let facts = OwnFacts { pod_cidrs: dual.into(), ..facts() };
    let published = |settings: &Settings| {
        own::published(&cluster(&["a", "b"]), &name("a"), own_key(1), &facts, own::Learned::default(), settings)
    };
    let both = published(&settings);
    assert_eq!((both.mesh_addresses.len(), both.pod_cidrs.len()), (2, 2));
    settings.local.missing_families = [Family::V6].into();
    let v4 = published(&settings);
    assert_eq!((v4.mesh_addresses.len(), v4.pod_cidrs), (1, ["10.42.1.0/24".parse().unwrap()].into()));
    assert!(v4.mesh_addresses.iter().all(std::net::IpAddr::is_ipv4));
}
