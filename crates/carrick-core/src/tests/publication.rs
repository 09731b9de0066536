//! What the agent writes to the API and to the disk.

use std::sync::Arc;
use std::time::Duration;

use carrick_topology::ObjectName;
use carrick_topology::plan::Scope;

use super::fixture::{Fixture, cluster, name, published_cluster};
use crate::{ApiState, Effect, Event, WriteOutcome};

fn publications(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Publish(_))).count()
}

#[test]
fn losing_the_api_changes_nothing_and_writes_nothing() {
    let mut fixture = Fixture::steady();
    fixture.event(Event::Api(ApiState::Lost));
    let plan = fixture.core.plan().cloned();
    for _ in 0..240 {
        for (_, effect) in fixture.wait(Duration::from_millis(500)) {
            let is_expected = matches!(effect, Effect::Apply { scope: Scope::WireGuard, .. } | Effect::TellFaults(_));
            assert!(is_expected, "{effect:?}");
            fixture.succeed(effect);
        }
    }
    assert_eq!(fixture.core.plan().cloned(), plan);
    fixture.event(Event::Api(ApiState::Synced));
    let effects = fixture.effects();
    let is_written = |effect: &Effect| !matches!(effect, Effect::TellFaults(_));
    assert!(!effects.iter().any(is_written), "nothing is published again when the API returns: {effects:?}");
}

#[test]
fn a_failed_publication_is_tried_again_and_a_shown_one_is_not() {
    let mut fixture = Fixture::new();
    fixture.report_surroundings();
    fixture.show_first(&cluster(&["a", "b"]));
    fixture.event(Event::Api(ApiState::Synced));
    assert_eq!(publications(&fixture.effects()), 1);
    fixture.event(Event::Published(WriteOutcome::Failed));
    assert_eq!(publications(&fixture.effects_within(Duration::from_secs(2))), 1);
    fixture.event(Event::Published(WriteOutcome::Complete));
    fixture.show(&published_cluster(&["a", "b"]));
    assert_eq!(publications(&fixture.effects_within(Duration::from_secs(60))), 0);
}

#[test]
fn a_refused_publication_is_tried_again_seldom() {
    let mut fixture = Fixture::new();
    fixture.report_surroundings();
    fixture.show_first(&cluster(&["a", "b"]));
    fixture.event(Event::Api(ApiState::Synced));
    assert_eq!(publications(&fixture.effects()), 1);
    fixture.event(Event::Published(WriteOutcome::Refused));
    assert_eq!(publications(&fixture.effects_within(Duration::from_secs(3))), 0);
    let mut attempts = 0;
    for _ in 0..3600 {
        if publications(&fixture.effects_within(Duration::from_secs(1))) > 0 {
            attempts += 1;
            fixture.event(Event::Published(WriteOutcome::Refused));
        }
    }
    assert!((25..=45).contains(&attempts), "{attempts} attempts in an hour");
}

#[test]
fn the_state_is_persisted_at_most_every_5_s() {
    let mut fixture = Fixture::steady();
    let mut written = 0;
    for number in 0..100 {
        let names: Vec<String> = (0..=number % 7).map(|n| format!("n{n}")).chain(["a".to_owned()]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        fixture.show(&published_cluster(&names));
        for effect in fixture.effects_within(Duration::from_millis(500)) {
            written += usize::from(matches!(effect, Effect::Persist(_)));
            fixture.succeed(effect);
        }
    }
    assert!((8..=12).contains(&written), "{written} writes in 50 s");
}

#[test]
fn warnings_are_reported_when_they_change() {
    let mut fixture = Fixture::steady();
    let mut spoilt = published_cluster(&["a", "b", "c"]);
    spoilt.nodes.get_mut("c").unwrap().public_key = spoilt.nodes["b"].public_key;
    fixture.show(&spoilt);
    let reported = fixture.effects_within(Duration::from_millis(50)).into_iter().find_map(|effect| match effect {
        Effect::Warn(warnings) => Some(Arc::clone(&warnings)),
        _ => None,
    });
    assert!(reported.unwrap().iter().any(|warning| warning.object == ObjectName::Node(name("c"))));
}

#[test]
fn the_agent_publishes_protocol_4() {
    let mut fixture = Fixture::new();
    fixture.report_surroundings();
    fixture.show_first(&cluster(&["a", "b"]));
    fixture.event(Event::Api(ApiState::Synced));
    let effects = fixture.effects();
    let published = effects.iter().find_map(|effect| match effect {
        Effect::Publish(published) => published.agent.as_ref(),
        _ => None,
    });
    assert_eq!(published.map(|agent| agent.protocol), Some(4), "{effects:?}");
}
