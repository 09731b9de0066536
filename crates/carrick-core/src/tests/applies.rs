//! When the kernel is compared with the plan.

use std::collections::BTreeSet;
use std::time::Duration;

use carrick_topology::Change;
use carrick_topology::plan::Scope;

use super::fixture::{Fixture, applies, causes, name, published_cluster};
use crate::{ApplyOutcome, Cause, DriftKind, Effect, Event};

const ROUTE: Cause = Cause::Drift(DriftKind::Route);

#[test]
fn a_burst_becomes_one_apply_and_its_first_change_waits_50_ms_at_most() {
    let mut fixture = Fixture::steady();
    let start = fixture.now;
    let mut seen = Vec::new();
    for number in 0..40 {
        let mut changed = published_cluster(&["a", "b"]);
        let endpoint = format!("198.51.100.{}", 100 + number).parse().unwrap();
        changed.nodes.get_mut("b").unwrap().advertised_endpoints = BTreeSet::from([endpoint]);
        fixture.show(&changed);
        let offset = fixture.now - start;
        seen.extend(fixture.wait(Duration::from_millis(4)).into_iter().map(|(at, effect)| (offset + at, effect)));
    }
    let applied = applies(&seen);
    assert_eq!(applied.len(), 1, "one apply is in progress until it has ended: {applied:?}");
    assert!(applied[0].0 <= Duration::from_millis(50), "{applied:?}");
    fixture.wait(Duration::from_millis(50));
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    let rest = fixture.effects_within(Duration::from_millis(50));
    assert_eq!(causes(&rest), [Cause::Plan], "the rest of the burst is one apply");
    let peers = &fixture.core.plan().unwrap().wireguard.peers;
    assert!(peers.values().any(|peer| peer.endpoint.unwrap().to_string().contains(".139:")));
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    assert_eq!(causes(&fixture.effects_within(Duration::from_secs(1))), []);
}

#[test]
fn a_single_change_is_applied_after_10_ms() {
    let mut fixture = Fixture::steady();
    fixture.show(&published_cluster(&["a", "b", "c"]));
    let applied = applies(&fixture.wait(Duration::from_millis(50)));
    assert_eq!(applied, [(Duration::from_millis(10), Scope::Change, Cause::Plan)]);
}

#[test]
fn the_same_cluster_again_does_nothing() {
    let mut fixture = Fixture::steady();
    fixture.event(Event::Changed(vec![Change::Node {
        name: name("b"),
        node: published_cluster(&["a", "b"]).nodes.get("b").cloned().map(Box::new),
        warnings: BTreeSet::new(),
    }]));
    fixture.report_surroundings();
    let effects = fixture.effects_within(Duration::from_secs(1));
    assert!(effects.iter().all(|effect| matches!(effect, Effect::Persist(_))), "{effects:?}");
}

#[test]
fn a_failed_apply_is_tried_again_after_ever_longer_delays() {
    let mut fixture = Fixture::steady();
    fixture.event(Event::Drift(DriftKind::Route));
    assert_eq!(fixture.await_apply(), ROUTE);
    let mut delays = Vec::new();
    for _ in 0..12 {
        fixture.event(Event::Applied(ApplyOutcome::Failed));
        let start = fixture.now;
        fixture.await_apply();
        delays.push(fixture.now - start);
    }
    assert!(delays[0] >= Duration::from_millis(150) && delays[0] <= Duration::from_millis(250), "{delays:?}");
    assert!(delays[3] > delays[0] * 4, "{delays:?}");
    assert!(delays.iter().all(|delay| *delay <= Duration::from_millis(37_500)), "{delays:?}");
}

#[test]
fn drift_is_repaired_at_once_and_what_is_undone_again_within_100_ms() {
    let mut fixture = Fixture::steady();
    fixture.wait(Duration::from_secs(60));
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    fixture.event(Event::Drift(DriftKind::Route));
    assert_eq!(causes(&fixture.effects()), [ROUTE]);

    let (mut repairs, mut at_once) = (0, 0);
    for _ in 0..600 {
        fixture.event(Event::Applied(ApplyOutcome::Changed));
        fixture.event(Event::Drift(DriftKind::Route));
        at_once += causes(&fixture.effects()).len();
        repairs += causes(&fixture.effects_within(Duration::from_millis(80))).len();
    }
    assert_eq!((repairs, at_once), (600, 0), "each repair comes within 80 ms, and not without a pause");
}

#[test]
fn commits_of_other_programs_to_nftables_cause_a_bounded_number_of_comparisons() {
    let mut fixture = Fixture::steady();
    let mut comparisons = 0;
    for _ in 0..6_000 {
        fixture.event(Event::Drift(DriftKind::Nftables));
        let begun = causes(&fixture.effects_within(Duration::from_millis(10)));
        comparisons += begun.len();
        for _ in begun {
            fixture.event(Event::Applied(ApplyOutcome::Unchanged));
        }
    }
    assert!((600..=1_400).contains(&comparisons), "{comparisons} comparisons in a minute of 6000 commits");
}

/// Lets so many commits of other programs to nftables each cause a comparison that finds nothing.
fn compare_after_commits(fixture: &mut Fixture, commits: usize) {
    for _ in 0..commits {
        fixture.event(Event::Drift(DriftKind::Nftables));
        fixture.await_apply();
        fixture.event(Event::Applied(ApplyOutcome::Unchanged));
    }
}

#[test]
fn a_flush_amid_commits_of_other_programs_is_looked_at_within_100_ms() {
    let mut fixture = Fixture::steady();
    compare_after_commits(&mut fixture, 20);
    fixture.event(Event::Drift(DriftKind::Nftables));
    let begun = causes(&fixture.effects_within(Duration::from_millis(80)));
    assert_eq!(begun, [Cause::Drift(DriftKind::Nftables)]);
}

#[test]
fn a_repair_that_joins_a_commit_to_nftables_during_an_apply_does_not_wait_as_the_commit_does() {
    let mut fixture = Fixture::steady();
    compare_after_commits(&mut fixture, 8);
    fixture.event(Event::Drift(DriftKind::Nftables));
    fixture.await_apply();
    fixture.event(Event::Drift(DriftKind::Nftables));
    fixture.event(Event::Drift(DriftKind::Route));
    fixture.event(Event::Applied(ApplyOutcome::Unchanged));
    assert_eq!(causes(&fixture.effects()), [ROUTE]);
}

#[test]
fn a_rare_commit_to_nftables_is_looked_at_at_once() {
    let mut fixture = Fixture::steady();
    for _ in 0..10 {
        fixture.event(Event::Drift(DriftKind::Nftables));
        assert_eq!(causes(&fixture.effects()), [Cause::Drift(DriftKind::Nftables)]);
        fixture.event(Event::Applied(ApplyOutcome::Unchanged));
        for _ in 0..70 {
            for effect in fixture.effects_within(Duration::from_secs(1)) {
                fixture.succeed(effect);
            }
        }
    }
}

#[test]
fn commits_to_nftables_delay_no_other_repair() {
    let mut fixture = Fixture::steady();
    compare_after_commits(&mut fixture, 8);
    fixture.event(Event::Drift(DriftKind::Nftables));
    assert_eq!(causes(&fixture.effects()), []);
    fixture.event(Event::Drift(DriftKind::Route));
    assert_eq!(causes(&fixture.effects()), [ROUTE]);
}

#[test]
fn wireguard_is_read_every_1500_ms_and_everything_every_5_min() {
    let mut fixture = Fixture::steady();
    let mut polls = 0;
    let mut changes = 0;
    let mut full = 0;
    for _ in 0..3300 {
        for (_, scope, _) in applies(&fixture.wait(Duration::from_millis(200))) {
            match scope {
                Scope::WireGuard => polls += 1,
                Scope::Change => changes += 1,
                Scope::Everything => full += 1,
            }
            fixture.event(Event::Applied(ApplyOutcome::Changed));
        }
    }
    assert!((400..=440).contains(&polls), "{polls} polls in 11 minutes");
    assert_eq!((changes, full), (0, 2));
}

#[test]
fn a_new_plan_does_not_wait_for_the_back_off_and_drift_does() {
    let mut fixture = Fixture::failing();
    fixture.event(Event::Drift(DriftKind::Route));
    assert_eq!(causes(&fixture.effects_within(Duration::from_secs(10))), []);
    fixture.show(&published_cluster(&["a", "b", "c"]));
    let applied = applies(&fixture.wait(Duration::from_millis(50)));
    assert_eq!(
        applied,
        [(Duration::from_millis(10), Scope::Everything, Cause::Plan)],
        "the apply of the plan looks for the drift as well"
    );
}

#[test]
fn a_new_plan_that_waits_for_a_failing_apply_is_not_delayed_by_drift() {
    let mut fixture = Fixture::failing();
    fixture.await_apply();
    fixture.show(&published_cluster(&["a", "b", "c"]));
    fixture.wait(Duration::from_millis(50));
    fixture.event(Event::Drift(DriftKind::Route));
    fixture.event(Event::Applied(ApplyOutcome::Failed));
    assert_eq!(causes(&fixture.effects()), [Cause::Plan]);
}

#[test]
fn a_rotated_preshared_key_is_applied_at_once_and_delays_no_repair() {
    let mut fixture = Fixture::failing();
    fixture.event(Event::PresharedKeys);
    assert_eq!(causes(&fixture.effects()), [Cause::PresharedKey], "a new key waits for no back-off");
    fixture.event(Event::Applied(ApplyOutcome::Changed));
    fixture.event(Event::Drift(DriftKind::Route));
    assert_eq!(causes(&fixture.effects()), [ROUTE]);
}

#[test]
fn an_uplink_that_is_up_again_ends_the_back_off() {
    let mut fixture = Fixture::failing();
    fixture.event(Event::UplinkUp);
    assert!(matches!(fixture.effects()[0], Effect::Apply { scope: Scope::Everything, .. }));
}

#[test]
fn what_is_missing_outside_is_looked_for_every_second_and_at_once_after_a_notification() {
    let mut fixture = Fixture::failing();
    fixture.show(&published_cluster(&["a", "b", "c"]));
    fixture.wait(Duration::from_millis(50));
    for _ in 0..5 {
        fixture.event(Event::Applied(ApplyOutcome::Waiting));
        let applied = applies(&fixture.wait(Duration::from_secs(1)));
        assert_eq!(applied, [(Duration::from_secs(1), Scope::Everything, Cause::Retry)]);
    }
    fixture.event(Event::Applied(ApplyOutcome::Waiting));
    fixture.event(Event::Drift(DriftKind::Device));
    assert_eq!(causes(&fixture.effects()).len(), 1);
}

#[test]
fn what_a_new_plan_writes_is_no_repair_of_what_was_notified_meanwhile() {
    for drift_comes_first in [true, false] {
        let mut fixture = Fixture::steady();
        fixture.event(Event::Drift(DriftKind::Route));
        fixture.await_apply();
        // Both come while this apply is in progress.
        if drift_comes_first {
            fixture.event(Event::Drift(DriftKind::Device));
        }
        fixture.show(&published_cluster(&["a", "b", "c"]));
        fixture.wait(Duration::from_millis(50));
        if !drift_comes_first {
            fixture.event(Event::Drift(DriftKind::Device));
        }
        fixture.event(Event::Applied(ApplyOutcome::Unchanged));
        let effects = fixture.effects_within(Duration::from_millis(200)).into_iter();
        let applied = applies(&effects.map(|effect| (Duration::ZERO, effect)).collect::<Vec<_>>());
        assert_eq!(applied, [(Duration::ZERO, Scope::Everything, Cause::Plan)], "{drift_comes_first}");
    }
}
