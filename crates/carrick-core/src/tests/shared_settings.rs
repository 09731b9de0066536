//! Settings that come from the object `Mesh`.

use std::sync::Arc;
use std::time::Duration;

use carrick_topology::model::{Granularity, Mesh, Settings, SharedSettings};
use carrick_topology::{Change, Cluster, WarningReason};
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
        ..Mesh::default()
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

#[test]
fn the_object_wins_over_a_flag_which_is_reported_and_the_published_hash_stays() {
    let flags = SharedSettings { granularity: Some(Granularity::Cross), ..SharedSettings::default() };
    let mut fixture = Fixture::with(Settings::default().with_flags(flags));
    let mut shown = published_cluster(&["a", "b"]);
    fixture.show_first(&shown);
    fixture.report_surroundings();
    fixture.wait(Duration::from_millis(50));
    assert_eq!(fixture.core.settings().granularity, Granularity::Cross);

    let shared = SharedSettings { granularity: Some(Granularity::Full), ..SharedSettings::default() };
    shown.mesh = Some(Mesh { shared, ..Mesh::default() });
    fixture.show(&shown);
    let effects = fixture.effects_within(Duration::from_millis(50));
    assert_eq!(fixture.core.settings().granularity, Granularity::Full);
    let overridden = WarningReason::OverriddenByMesh("full".to_owned());
    let is_told = |effect: &Effect| matches!(effect, Effect::Warn(warnings) if warnings.iter().any(|warning| warning.reason == overridden));
    assert!(effects.iter().any(is_told), "{effects:?}");
    let plan = fixture.core.plan().unwrap();
    let differs = plan.warnings.iter().find(|warning| matches!(warning.reason, WarningReason::SettingsDiffer(_)));
    assert_eq!(differs, None, "b runs with the default flags: the Mesh gives the same setting to both");

    fixture.show(&Cluster { mesh: None, ..shown });
    fixture.wait(Duration::from_millis(50));
    assert_eq!(fixture.core.settings().granularity, Granularity::Cross);
}

#[test]
fn the_prober_is_told_of_another_interval_once() {
    let mut fixture = Fixture::steady();
    let intervals = |effects: Vec<Effect>| {
        let told = effects.into_iter().filter_map(|effect| match effect {
            Effect::ProbeInterval(interval) => Some(interval.as_millis()),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let shared = SharedSettings { failover_interval_ms: Some(1000), ..SharedSettings::default() };
    let mut shown = published_cluster(&["a", "b"]);
    shown.mesh = Some(Mesh { shared, ..Mesh::default() });
    fixture.show(&shown);
    fixture.show(&Cluster { nodes: published_cluster(&["a", "b", "c"]).nodes, ..shown.clone() });
    assert_eq!(intervals(fixture.effects_within(Duration::from_millis(50))), [1000]);
    fixture.show(&Cluster { mesh: None, ..shown });
    assert_eq!(intervals(fixture.effects_within(Duration::from_millis(50))), [250]);
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
