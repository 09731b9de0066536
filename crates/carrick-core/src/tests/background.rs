//! What follows a plan, an apply or an observation: probes, pods, names, the data path.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use carrick_topology::model::{AgentVersion, DnsName, PodNetwork};
use carrick_topology::plan::ProbeFormat;
use carrick_topology::{Cluster, Endpoint, Host, Liveness, PublicKey, Settings};

use super::fixture::{Fixture, causes, key, name, published_cluster};
use crate::{
    ApiState, ApplyOutcome, DriftKind, Effect, Event, PeerObservation, PodAddressing, Probing, Session, WriteOutcome,
};

const SHORTLY: Duration = Duration::from_millis(50);

fn probings(effects: &[Effect]) -> Vec<Arc<Probing>> {
    let probing = |effect: &Effect| match effect {
        Effect::Probe(probing) => Some(Arc::clone(probing)),
        _ => None,
    };
    effects.iter().filter_map(probing).collect()
}

fn pod_files(effects: &[Effect]) -> Vec<PodAddressing> {
    let files = |effect: &Effect| match effect {
        Effect::WritePodFiles(files) => Some(files.clone()),
        _ => None,
    };
    effects.iter().filter_map(files).collect()
}

fn count(effects: &[Effect], is_counted: impl Fn(&Effect) -> bool) -> usize {
    effects.iter().filter(|effect| is_counted(effect)).count()
}

// Probes

#[test]
fn probes_follow_a_plan_whose_apply_failed() {
    let mut fixture = Fixture::steady();
    fixture.show(&published_cluster(&["a", "b", "c"]));
    assert_eq!(probings(&fixture.effects_within(SHORTLY)), [], "before the kernel knows of a tunnel, it cannot answer");
    fixture.event(Event::Applied(ApplyOutcome::Failed));
    let told = probings(&fixture.effects());
    assert_eq!(told.len(), 1);
    assert!(told[0].targets.targets.contains_key("c"), "{told:?}");
}

#[test]
fn a_node_that_waits_for_its_data_path_answers_probes() {
    let mut fixture = Fixture::new();
    fixture.report_surroundings();
    fixture.show_first(&published_cluster(&["a", "b"]));
    assert_eq!(causes(&fixture.effects_within(SHORTLY)).len(), 1);
    fixture.event(Event::Applied(ApplyOutcome::Waiting));
    let told = probings(&fixture.effects());
    assert_eq!(told.len(), 1);
    assert!(!told[0].peers.is_empty() && !told[0].listen.is_empty(), "{told:?}");
}

#[test]
fn probes_follow_the_plan_that_was_applied_and_not_a_newer_one() {
    let mut fixture = Fixture::steady();
    fixture.show(&published_cluster(&["a", "b", "c"]));
    fixture.wait(SHORTLY);
    fixture.show(&published_cluster(&["a", "b", "c", "d"]));
    fixture.wait(SHORTLY);
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    let told = probings(&fixture.effects());
    assert!(told[0].targets.targets.contains_key("c") && !told[0].targets.targets.contains_key("d"), "{told:?}");
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    assert!(probings(&fixture.effects())[0].targets.targets.contains_key("d"));
}

#[test]
fn probes_follow_the_protocol_of_another_agent_at_once() {
    let mut fixture = Fixture::steady();
    let mut cluster = Cluster::clone(fixture.core.cluster());
    let other = cluster.nodes.get_mut("b").unwrap();
    other.agent = Some(AgentVersion {
        version: "0.0.1".to_owned(),
        protocol: 1,
        settings: Settings::default().shared_hash(),
        outside_mesh: BTreeSet::new(),
    });
    let address = *other.mesh_addresses.first().unwrap();
    fixture.show(&cluster);
    fixture.wait(SHORTLY);
    fixture.event(Event::Applied(ApplyOutcome::Unchanged));
    let told = probings(&fixture.effects());
    assert_eq!((told.len(), told[0].peers[&address].format), (1, ProbeFormat::V1));
}

#[test]
fn probes_are_told_nothing_when_nothing_changed_for_them() {
    let mut fixture = Fixture::steady();
    fixture.event(Event::Names(BTreeMap::new()));
    for _ in 0..20 {
        for effect in fixture.effects_within(Duration::from_secs(1)) {
            assert!(!matches!(effect, Effect::Probe(_)));
            fixture.succeed(effect);
        }
    }
}

#[test]
fn liveness_is_saved_when_other_nodes_are_down_and_not_when_it_was_restored() {
    let mut fixture = Fixture::steady();
    let down = Liveness::without([name("b")]);
    fixture.event(Event::LivenessRestored(down.clone()));
    fixture.event(Event::Liveness(down));
    assert_eq!(count(&fixture.effects(), |effect| matches!(effect, Effect::SaveLiveness(_))), 0);
    let mut returning = Liveness::default();
    returning.handover.returning.insert(name("b"));
    fixture.event(Event::Liveness(returning));
    let saved = fixture.effects();
    assert!(saved.contains(&Effect::SaveLiveness(Liveness::default())), "only who is down is saved: {saved:?}");
}

// Pods

#[test]
fn pods_files_are_written_once_the_kernel_holds_the_plan() {
    let mut fixture = Fixture::new();
    fixture.report_surroundings();
    fixture.show_first(&published_cluster(&["a", "b"]));
    fixture.event(Event::Api(ApiState::Synced));
    fixture.wait(SHORTLY);
    for outcome in [ApplyOutcome::Failed, ApplyOutcome::Waiting] {
        fixture.event(Event::Applied(outcome));
        assert_eq!(pod_files(&fixture.effects()), []);
        fixture.await_apply();
    }
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    let written = pod_files(&fixture.effects());
    let pod_cidrs = BTreeSet::from(["10.42.1.0/24".parse().unwrap()]);
    assert_eq!(written, [PodAddressing { pod_cidrs, mtu: fixture.core.plan().unwrap().pod_mtu, fault: None }]);
}

#[test]
fn pods_files_that_could_not_be_written_are_written_later() {
    let mut fixture = Fixture::steady();
    fixture.event(Event::PathMtus(BTreeMap::new()));
    let mut narrow = super::fixture::interfaces();
    narrow[0].mtu = 1400;
    fixture.event(Event::Host(narrow.into()));
    fixture.wait(SHORTLY);
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    let first = pod_files(&fixture.effects());
    assert_eq!(first.len(), 1);
    fixture.event(Event::PodFilesWritten(WriteOutcome::Failed));
    assert_eq!(pod_files(&fixture.effects()), []);
    let again = pod_files(&fixture.effects_within(Duration::from_secs(2)));
    assert_eq!(again, first);
    fixture.event(Event::PodFilesWritten(WriteOutcome::Complete));
    assert_eq!(pod_files(&fixture.effects_within(Duration::from_secs(60))), []);
}

#[test]
fn pods_files_that_another_program_changed_are_written_again() {
    let mut fixture = Fixture::steady();
    fixture.event(Event::PodFilesChanged);
    let written = pod_files(&fixture.effects());
    assert_eq!(written.len(), 1, "{written:?}");
    // A change while they are written may have come too late to be seen.
    fixture.event(Event::PodFilesChanged);
    fixture.event(Event::PodFilesWritten(WriteOutcome::Complete));
    assert_eq!(pod_files(&fixture.effects()), written);
    fixture.event(Event::PodFilesWritten(WriteOutcome::Complete));
    assert_eq!(pod_files(&fixture.effects_within(Duration::from_secs(60))), []);
}

#[test]
fn where_another_plugin_wires_pods_the_agent_leaves_them_alone() {
    let mut fixture = Fixture::with(Settings { pod_network: PodNetwork::Foreign, ..Settings::default() });
    fixture.report_surroundings();
    fixture.show_first(&published_cluster(&["a", "b"]));
    fixture.wait(SHORTLY);
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    fixture.event(Event::PodRouteRemoved);
    let effects = fixture.effects_within(Duration::from_secs(60));
    let concerns_pods = |effect: &Effect| matches!(effect, Effect::WritePodFiles(_) | Effect::RestorePodRoutes);
    assert_eq!(count(&effects, concerns_pods), 0, "{effects:?}");
}

#[test]
fn pods_routes_are_restored_with_each_comparison_and_when_one_is_removed() {
    let mut fixture = Fixture::steady();
    let restored = |effects: &[Effect]| count(effects, |effect| matches!(effect, Effect::RestorePodRoutes));
    fixture.event(Event::PodRouteRemoved);
    assert_eq!(restored(&fixture.effects()), 1);
    fixture.event(Event::Drift(DriftKind::Route));
    assert_eq!(restored(&fixture.effects()), 1);
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    assert_eq!(restored(&fixture.effects_within(Duration::from_secs(6))), 0, "reading WireGuard says nothing of pods");
}

// The data path

#[test]
fn a_data_path_that_could_not_be_started_is_started_again() {
    let mut fixture = Fixture::steady();
    let started = |effects: &[Effect]| count(effects, |effect| matches!(effect, Effect::StartDataPath));
    fixture.event(Event::Drift(DriftKind::Device));
    let effects = fixture.effects();
    assert!(matches!(effects[0], Effect::StartDataPath) && causes(&effects).len() == 1, "{effects:?}");
    fixture.event(Event::Applied(ApplyOutcome::Waiting));
    assert_eq!(started(&fixture.effects()), 0, "one start at a time");
    fixture.event(Event::DataPathStarted(WriteOutcome::Failed));
    let mut starts = 0;
    for _ in 0..10 {
        for effect in fixture.effects_within(Duration::from_secs(1)) {
            match effect {
                Effect::Apply { .. } => fixture.event(Event::Applied(ApplyOutcome::Waiting)),
                Effect::StartDataPath => {
                    starts += 1;
                    fixture.event(Event::DataPathStarted(WriteOutcome::Failed));
                }
                _ => {}
            }
        }
    }
    assert!((2..=5).contains(&starts), "{starts} starts in 10 s");
}

#[test]
fn a_changed_route_starts_no_data_path() {
    let mut fixture = Fixture::steady();
    fixture.event(Event::Drift(DriftKind::Route));
    assert_eq!(count(&fixture.effects(), |effect| matches!(effect, Effect::StartDataPath)), 0);
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    fixture.event(Event::Drift(DriftKind::Lost));
    assert_eq!(count(&fixture.effects_within(SHORTLY), |effect| matches!(effect, Effect::StartDataPath)), 1);
}

// Names

#[test]
fn the_names_of_endpoints_are_resolved_from_the_restored_state_on() {
    let mut fixture = Fixture::new();
    fixture.event(Event::Restored(Arc::new(with_name("gate.example"))));
    let resolved = |effects: &[Effect]| -> Vec<Vec<String>> {
        let names = |effect: &Effect| match effect {
            Effect::ResolveNames(names) => Some(names.iter().map(|name| name.as_str().to_owned()).collect()),
            _ => None,
        };
        effects.iter().filter_map(names).collect()
    };
    assert_eq!(resolved(&fixture.effects()), [["gate.example"]]);
    fixture.show_first(&with_name("gate.example"));
    assert_eq!(resolved(&fixture.effects()), [[""; 0]; 0], "the same names are not asked for again");
    fixture.show(&with_name("door.example"));
    assert_eq!(resolved(&fixture.effects()), [["door.example"]]);
}

fn with_name(host: &str) -> Cluster {
    let mut cluster = published_cluster(&["a", "b"]);
    cluster.nodes.get_mut("b").unwrap().endpoint = Some(host.parse().unwrap());
    cluster
}

#[test]
fn a_name_is_resolved_again_when_the_session_has_expired() {
    let mut fixture = Fixture::steady_with(&with_name("gate.example"));
    fixture.event(Event::Names([("gate.example", "198.51.100.2")].map(resolution).into()));
    fixture.wait(SHORTLY);
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    fixture.effects();
    let refreshed = |effects: &[Effect]| count(effects, |effect| matches!(effect, Effect::RefreshNames(_)));
    for (session, expected) in [(Session::None, 0), (Session::Live, 0), (Session::Expired, 1)] {
        fixture.event(Event::Peers([observed(2, "198.51.100.2:51820", session)].into()));
        assert_eq!(refreshed(&fixture.effects()), expected, "{session:?}");
    }
}

fn resolution((name, address): (&str, &str)) -> (DnsName, BTreeSet<IpAddr>) {
    let endpoint: Endpoint = name.parse().unwrap();
    let Host::Name(name) = endpoint.host else { panic!("{name} is no name") };
    (name, [address.parse().unwrap()].into())
}

pub(super) fn observed(number: u8, endpoint: &str, session: Session) -> (PublicKey, PeerObservation) {
    (key(number), PeerObservation { endpoint: Some(endpoint.parse().unwrap()), session })
}

#[test]
fn endpoints_of_nodes_that_dial_in_are_published() {
    let mut shown = published_cluster(&["a", "b"]);
    let node = shown.nodes.get_mut("b").unwrap();
    node.advertised_endpoints.clear();
    node.persistent_keepalive = Some(25);
    let mut fixture = Fixture::steady_with(&shown);
    let published = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::Publish(wanted) => Some(wanted.observed_endpoints.get("b").map(ToString::to_string)),
            _ => None,
        })
    };
    fixture.event(Event::Peers([observed(2, "203.0.113.9:4000", Session::Expired)].into()));
    assert_eq!(published(&fixture.effects_within(SHORTLY)), None);
    fixture.event(Event::Peers([observed(2, "203.0.113.9:4000", Session::Live)].into()));
    assert_eq!(published(&fixture.effects_within(SHORTLY)), Some(Some("203.0.113.9:4000".to_owned())));
}
