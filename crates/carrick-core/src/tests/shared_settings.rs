//! Settings that come from the object `Mesh`.

use std::sync::Arc;
use std::time::Duration;

use carrick_topology::model::{Mesh, Settings};
use carrick_topology::{Change, Cluster};
use proptest::prelude::*;

use super::fixture::{Fixture, causes, name, published_cluster};
use crate::{DISK_PATIENCE, Effect, Event};

const NETWORK: &str = "198.51.7.0/24";

/// A cluster in which `b` declares a public network, with an object that permits it or without an object.
fn declared(is_permitted: bool) -> Cluster {
    let mut cluster = published_cluster(&["a", "b"]);
    let node = cluster.nodes.get_mut(&name("b")).unwrap();
    node.allowed_location_cidrs = [NETWORK.parse().unwrap()].into();
    cluster.mesh = is_permitted.then(|| Mesh {
        permitted_location_cidrs: Some(["198.51.0.0/16".parse().unwrap()].into()),
        cluster_cidrs: Some(["10.42.0.0/16".parse().unwrap()].into()),
    });
    cluster
}

fn has_route(fixture: &Fixture) -> bool {
    let routes = &fixture.core.plan().unwrap().routes;
    routes.iter().any(|route| route.destination.to_string() == NETWORK)
}

#[test]
fn a_change_of_the_object_is_in_force_with_the_next_plan_and_its_deletion_restores_the_defaults() {
    let mut fixture = Fixture::steady_with(&declared(false));
    assert!(!has_route(&fixture));
    fixture.show(&declared(true));
    let effects = fixture.effects_within(Duration::from_millis(50));
    assert_eq!(causes(&effects).len(), 1, "{effects:?}");
    assert!(has_route(&fixture));
    assert_eq!(fixture.core.settings().cluster_cidrs.len(), 1);

    fixture.show(&declared(false));
    fixture.wait(Duration::from_millis(50));
    assert!(!has_route(&fixture));
    let defaults = Settings::default().permitted_location_cidrs;
    assert_eq!(fixture.core.settings().permitted_location_cidrs, defaults);
}

#[test]
fn the_object_is_saved_and_counts_from_the_disk() {
    let mut fixture = Fixture::steady_with(&declared(true));
    fixture.show(&declared(false));
    let effects = fixture.effects_within(crate::PERSIST_INTERVAL);
    let saved = effects.iter().find_map(|effect| match effect {
        Effect::Persist(cluster) => Some(cluster.mesh.clone()),
        _ => None,
    });
    assert_eq!(saved, Some(None), "{effects:?}");

    let mut fixture = Fixture::new();
    fixture.event(Event::Restored(Arc::new(declared(true))));
    fixture.wait(DISK_PATIENCE + Duration::from_millis(50));
    assert!(has_route(&fixture));
}

proptest! {
    #[test]
    fn the_order_of_arrival_does_not_matter(order in Just(changes()).prop_shuffle()) {
        let plan = |changes: Vec<Change>| {
            let mut fixture = Fixture::new();
            fixture.report_surroundings();
            for change in changes {
                fixture.event(Event::Changed(vec![change]));
            }
            fixture.event(Event::Synced);
            fixture.wait(Duration::from_millis(50));
            fixture.core.plan().cloned()
        };
        prop_assert!(plan(changes()).is_some());
        prop_assert_eq!(plan(order), plan(changes()));
    }
}

/// Each object of the cluster as a change.
fn changes() -> Vec<Change> {
    let cluster = declared(true);
    let nodes = cluster.nodes.into_iter().map(|(name, node)| Change::Node {
        name,
        node: Some(Box::new(node)),
        warnings: [].into(),
    });
    nodes.chain([Change::Mesh { mesh: cluster.mesh.map(Box::new), warnings: [].into() }]).collect()
}
