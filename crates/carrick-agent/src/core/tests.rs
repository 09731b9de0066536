mod invariants;

use std::collections::{BTreeMap, BTreeSet};

use carrick_kube::annotations::NodeMetadata;
use carrick_topology::ObjectName;
use carrick_topology::model::{Family, Node};

use super::*;

/// A core with a clock that only the test moves.
struct Bench {
    core: Core,
    now: Now,
}

impl Bench {
    fn new() -> Self {
        let core = Core::new(name("a"), key(1), Settings::default(), 7);
        Self { core, now: Duration::from_secs(1000) }
    }

    fn event(&mut self, event: Event) {
        self.core.handle_event(self.now, event);
    }

    /// The API shows this cluster; only what differs comes as an event.
    fn show(&mut self, cluster: &Cluster) {
        let known = Arc::clone(self.core.cluster());
        let names: BTreeSet<_> = known.nodes.keys().chain(cluster.nodes.keys()).cloned().collect();
        let changes: Vec<Change> = names
            .into_iter()
            .filter(|name| known.nodes.get(name) != cluster.nodes.get(name))
            .map(|name| {
                let node = cluster.nodes.get(&name).cloned().map(Box::new);
                Change::Node { name, node, warnings: BTreeSet::new() }
            })
            .collect();
        if !changes.is_empty() {
            self.event(Event::Changed(changes));
        }
    }

    fn show_first(&mut self, cluster: &Cluster) {
        self.show(cluster);
        self.event(Event::Synced);
    }

    fn tell_facts(&mut self) {
        self.event(Event::OwnNode(own_node()));
        self.event(Event::Interfaces(interfaces()));
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.core.next_effect()).collect()
    }

    /// Lets time pass, deadline by deadline, and collects what is done, with the time since the start of the wait.
    fn wait(&mut self, time: Duration) -> Vec<(Duration, Effect)> {
        let start = self.now;
        let end = start + time;
        let mut seen = Vec::new();
        while let Some(deadline) = self.core.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            let before = self.core.next_deadline();
            self.core.handle_timeout(self.now);
            let at = self.now - start;
            seen.extend(self.effects().into_iter().map(|effect| (at, effect)));
            assert!(
                self.core.next_deadline() != before || before > Some(self.now),
                "the deadline {before:?} stays due"
            );
        }
        self.now = end;
        seen
    }

    /// Brings the core to where its plan is applied and published.
    fn steady() -> Self {
        let mut bench = Self::new();
        bench.show_first(&cluster(&["a", "b"]));
        bench.tell_facts();
        bench.event(Event::Api(ApiState::Synced));
        bench.wait(Duration::from_millis(50));
        bench.event(Event::Applied(ApplyOutcome::Changed));
        bench.event(Event::Published(PublishOutcome::Complete));
        bench.show(&published_cluster(&["a", "b"]));
        let effects = bench.wait(Duration::from_millis(50));
        if effects.iter().any(|(_, effect)| matches!(effect, Effect::Apply { .. })) {
            bench.event(Event::Applied(ApplyOutcome::Changed));
        }
        bench.wait(PERSIST_INTERVAL);
        bench.event(Event::Applied(ApplyOutcome::Changed));
        bench.effects();
        bench
    }
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn cluster(names: &[&str]) -> Cluster {
    let mut cluster = Cluster::default();
    for (number, text) in (1_u8..).zip(names) {
        let mut node = Node::new(name(text), 0);
        if *text != "a" {
            node.public_key = Some(key(number));
            node.pod_cidrs = BTreeSet::from([format!("10.42.{number}.0/24").parse().unwrap()]);
            node.advertised_endpoints = BTreeSet::from([format!("198.51.100.{number}").parse().unwrap()]);
        }
        cluster.insert_node(node);
    }
    cluster
}

/// The cluster after the API shows what node `a` published.
fn published_cluster(names: &[&str]) -> Cluster {
    let before = cluster(names);
    let overlaid = own::overlay(&Arc::new(before), &name("a"), key(1), Some(&facts()), None, &Settings::default());
    Cluster::clone(&overlaid)
}

fn own_node() -> OwnNode {
    OwnNode {
        metadata: NodeMetadata { name: name("a"), created: 0, annotations: BTreeMap::new(), labels: BTreeMap::new() },
        uid: "1".to_owned(),
        pod_cidrs: BTreeSet::from(["10.42.1.0/24".parse().unwrap()]),
        internal_ips: Vec::new(),
        external_ips: vec!["198.51.100.1".parse().unwrap()],
    }
}

fn interfaces() -> Vec<Interface> {
    vec![Interface {
        name: "eth0".parse().unwrap(),
        mtu: 1500,
        addresses: BTreeSet::from(["198.51.100.1/24".parse().unwrap()]),
        default_route: BTreeSet::from([Family::V4]),
    }]
}

fn facts() -> OwnFacts {
    own_facts(&own_node(), &interfaces(), &Settings::default())
}

fn applies(effects: &[(Duration, Effect)]) -> Vec<(Duration, Scope, Cause)> {
    effects
        .iter()
        .filter_map(|(at, effect)| match effect {
            Effect::Apply { scope, cause, .. } => Some((*at, *scope, *cause)),
            Effect::Publish(_) | Effect::Persist(_) | Effect::Warn(_) => None,
        })
        .collect()
}

#[test]
fn it_waits_for_the_cluster_then_plans_publishes_and_persists() {
    let mut bench = Bench::new();
    assert_eq!(bench.core.waiting(), Waiting::ForCluster);
    assert!(bench.wait(Duration::from_secs(3600)).is_empty(), "there is nothing to do without a cluster");

    bench.tell_facts();
    bench.event(Event::Api(ApiState::Synced));
    bench.show_first(&cluster(&["a", "b"]));
    let mut effects: Vec<(Duration, Effect)> =
        bench.effects().into_iter().map(|effect| (Duration::ZERO, effect)).collect();
    effects.extend(bench.wait(Duration::from_millis(50)));
    assert_eq!(applies(&effects).len(), 1, "{effects:?}");
    assert!(
        effects
            .iter()
            .any(|(_, effect)| matches!(effect, Effect::Publish(published) if published.public_key == Some(key(1))))
    );
    assert!(effects.iter().any(|(_, effect)| matches!(effect, Effect::Persist(_))));
    assert_eq!(bench.core.waiting(), Waiting::ForNothing);
    assert!(!bench.core.has_applied());
    bench.event(Event::Applied(ApplyOutcome::Changed));
    assert!(bench.core.has_applied());
}

#[test]
fn a_node_that_is_missing_is_waited_for_and_removes_nothing() {
    let mut bench = Bench::new();
    bench.show_first(&cluster(&["b"]));
    bench.wait(Duration::from_millis(50));
    assert_eq!(bench.core.waiting(), Waiting::ForNode);

    let mut bench = Bench::steady();
    let plan = bench.core.plan().cloned();
    bench.show(&cluster(&["b"]));
    let effects = bench.wait(Duration::from_secs(1));
    assert!(applies(&effects).is_empty(), "{effects:?}");
    assert_eq!(bench.core.plan().cloned(), plan);
}

#[test]
fn the_disk_speaks_until_the_api_does() {
    let mut bench = Bench::new();
    bench.tell_facts();
    bench.event(Event::Restored(Arc::new(cluster(&["a", "b"]))));
    let effects = bench.wait(Duration::from_millis(50));
    assert_eq!(applies(&effects).len(), 1, "{effects:?}");
    assert!(
        !effects.iter().any(|(_, effect)| matches!(effect, Effect::Persist(_) | Effect::Publish(_))),
        "{effects:?}"
    );

    bench.event(Event::Applied(ApplyOutcome::Changed));
    bench.show_first(&cluster(&["a", "b", "c"]));
    bench.event(Event::Restored(Arc::new(cluster(&["a"]))));
    bench.wait(Duration::from_millis(50));
    assert_eq!(bench.core.plan().unwrap().wireguard.peers.len(), 2, "the disk must not override the API");
}

#[test]
fn old_knowledge_from_the_disk_cuts_nothing_that_the_kernel_carries() {
    let mut bench = Bench::new();
    bench.event(Event::Restored(Arc::new(cluster(&["a", "b"]))));
    let mesh = Interface {
        name: "carrick0".parse().unwrap(),
        addresses: ["10.4.0.1/32".parse().unwrap()].into(),
        ..interfaces()[0].clone()
    };
    bench.event(Event::OwnNode(own_node()));
    bench.event(Event::Interfaces(vec![interfaces()[0].clone(), mesh]));
    let effects = bench.wait(DISK_PATIENCE / 2);
    assert!(applies(&effects).is_empty(), "{effects:?}");

    bench.show_first(&cluster(&["a", "b", "c"]));
    let effects = bench.wait(Duration::from_millis(50));
    assert_eq!(applies(&effects).len(), 1, "{effects:?}");
    assert_eq!(bench.core.plan().unwrap().wireguard.peers.len(), 2);
}

#[test]
fn the_disk_speaks_at_last_where_the_api_stays_silent() {
    let mut bench = Bench::new();
    bench.event(Event::Restored(Arc::new(published_cluster(&["a", "b"]))));
    let effects = bench.wait(DISK_PATIENCE + Duration::from_millis(50));
    assert_eq!(applies(&effects).len(), 1, "{effects:?}");
}

#[test]
fn a_burst_becomes_one_apply_and_the_first_change_waits_50_ms_at_most() {
    let mut bench = Bench::steady();
    let start = bench.now;
    let mut seen = Vec::new();
    for number in 0..40 {
        let mut changed = published_cluster(&["a", "b"]);
        let endpoint = format!("198.51.100.{}", 100 + number).parse().unwrap();
        changed.nodes.get_mut("b").unwrap().advertised_endpoints = BTreeSet::from([endpoint]);
        bench.show(&changed);
        let offset = bench.now - start;
        seen.extend(bench.wait(Duration::from_millis(4)).into_iter().map(|(at, effect)| (offset + at, effect)));
    }
    let applied = applies(&seen);
    assert_eq!(applied.len(), 1, "one apply is under way until it has ended: {applied:?}");
    assert!(applied[0].0 <= Duration::from_millis(50), "{applied:?}");
    bench.event(Event::Applied(ApplyOutcome::Changed));
    bench.wait(Duration::from_millis(50));
    bench.event(Event::Applied(ApplyOutcome::Changed));
    assert!(
        bench.core.plan().unwrap().wireguard.peers.values().any(|peer| peer
            .endpoint
            .unwrap()
            .to_string()
            .contains(".139:"))
    );
    let rest = bench.effects();
    assert!(bench.core.wanted.is_none() && rest.len() <= 1, "{:?} {rest:?}", bench.core.wanted);
}

#[test]
fn a_lone_change_is_applied_within_10_ms() {
    let mut bench = Bench::steady();
    bench.show(&published_cluster(&["a", "b", "c"]));
    let applied = applies(&bench.wait(Duration::from_millis(50)));
    assert_eq!(applied, [(Duration::from_millis(10), Scope::Change, Cause::Plan)]);
}

#[test]
fn the_same_cluster_again_does_nothing() {
    let mut bench = Bench::steady();
    bench.event(Event::Changed(vec![Change::Node {
        name: name("b"),
        node: published_cluster(&["a", "b"]).nodes.get("b").cloned().map(Box::new),
        warnings: BTreeSet::new(),
    }]));
    bench.tell_facts();
    let effects = bench.wait(Duration::from_secs(4));
    assert!(effects.iter().all(|(_, effect)| matches!(effect, Effect::Persist(_))), "{effects:?}");
}

#[test]
fn a_failed_apply_is_tried_again_ever_later() {
    let mut bench = Bench::steady();
    bench.event(Event::Drift(DriftKind::Route));
    assert_eq!(bench.effects().len(), 1);
    let mut delays = Vec::new();
    for _ in 0..12 {
        bench.event(Event::Applied(ApplyOutcome::Failed));
        let start = bench.now;
        let retry = loop {
            let deadline = bench.core.next_deadline().unwrap();
            bench.now = deadline;
            bench.core.handle_timeout(deadline);
            if bench.effects().iter().any(|effect| matches!(effect, Effect::Apply { .. })) {
                break deadline - start;
            }
        };
        delays.push(retry);
    }
    assert!(delays[0] >= Duration::from_millis(150) && delays[0] <= Duration::from_millis(250), "{delays:?}");
    assert!(delays[3] > delays[0] * 4, "{delays:?}");
    assert!(delays.iter().all(|delay| *delay <= Duration::from_millis(37_500)), "{delays:?}");
}

#[test]
fn drift_is_repaired_at_once_but_a_fight_slows_down() {
    let mut bench = Bench::steady();
    bench.wait(Duration::from_secs(60));
    bench.event(Event::Applied(ApplyOutcome::Changed));
    bench.event(Event::Drift(DriftKind::Route));
    assert!(matches!(
        bench.effects().as_slice(),
        [Effect::Apply { cause: Cause::Drift(DriftKind::Route), scope: Scope::Everything, .. }]
    ));

    let mut repairs = 0;
    let end = bench.now + Duration::from_secs(60);
    while bench.now < end {
        bench.event(Event::Applied(ApplyOutcome::Changed));
        bench.event(Event::Drift(DriftKind::Route));
        repairs += applies(&bench.wait(Duration::from_millis(100))).len() + bench.effects().len();
    }
    assert!(repairs < 40, "{repairs} repairs in a minute against somebody who undoes them at once");
}

#[test]
fn wireguard_is_polled_every_5_s_and_everything_every_5_min() {
    let mut bench = Bench::steady();
    let mut polls = 0;
    let mut changes = 0;
    let mut full = 0;
    for _ in 0..3300 {
        for (_, scope, _) in applies(&bench.wait(Duration::from_millis(200))) {
            match scope {
                Scope::WireGuard => polls += 1,
                Scope::Change => changes += 1,
                Scope::Everything => full += 1,
            }
            bench.event(Event::Applied(ApplyOutcome::Changed));
        }
    }
    assert!((120..=132).contains(&polls), "{polls} polls in 11 minutes");
    assert_eq!((changes, full), (0, 2));
}

#[test]
fn losing_the_api_changes_nothing_and_writes_nothing() {
    let mut bench = Bench::steady();
    bench.event(Event::Api(ApiState::Lost));
    let plan = bench.core.plan().cloned();
    for _ in 0..240 {
        for (_, effect) in bench.wait(Duration::from_millis(500)) {
            assert!(matches!(effect, Effect::Apply { scope: Scope::WireGuard, .. }), "{effect:?}");
            bench.event(Event::Applied(ApplyOutcome::Changed));
        }
    }
    assert_eq!(bench.core.plan().cloned(), plan);
    bench.event(Event::Api(ApiState::Synced));
    assert!(bench.effects().is_empty(), "nothing is published again when the API returns");
}

#[test]
fn a_failed_publication_is_tried_again_and_a_shown_one_is_not() {
    let mut bench = Bench::new();
    bench.tell_facts();
    bench.show_first(&cluster(&["a", "b"]));
    bench.event(Event::Api(ApiState::Synced));
    let published = |effects: &[Effect]| effects.iter().filter(|effect| matches!(effect, Effect::Publish(_))).count();
    assert_eq!(published(&bench.effects()), 1);
    bench.event(Event::Published(PublishOutcome::Failed));
    let again: Vec<Effect> = bench.wait(Duration::from_secs(2)).into_iter().map(|(_, effect)| effect).collect();
    assert_eq!(published(&again), 1, "{again:?}");
    bench.event(Event::Published(PublishOutcome::Complete));
    bench.show(&published_cluster(&["a", "b"]));
    let rest: Vec<Effect> = bench.wait(Duration::from_secs(60)).into_iter().map(|(_, effect)| effect).collect();
    assert_eq!(published(&rest), 0, "{rest:?}");
}

#[test]
fn the_state_is_persisted_at_most_every_5_s() {
    let mut bench = Bench::steady();
    let mut written = 0;
    for number in 0..100 {
        let names: Vec<String> = (0..=number % 7).map(|n| format!("n{n}")).chain(["a".to_owned()]).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        bench.show(&published_cluster(&names));
        let effects = bench.wait(Duration::from_millis(500));
        written += effects.iter().filter(|(_, effect)| matches!(effect, Effect::Persist(_))).count();
        if !applies(&effects).is_empty() {
            bench.event(Event::Applied(ApplyOutcome::Changed));
        }
    }
    assert!((8..=12).contains(&written), "{written} writes in 50 s");
}

#[test]
fn warnings_are_told_when_they_change() {
    let mut bench = Bench::steady();
    let mut spoilt = published_cluster(&["a", "b", "c"]);
    spoilt.nodes.get_mut("c").unwrap().public_key = spoilt.nodes["b"].public_key;
    bench.show(&spoilt);
    let effects = bench.wait(Duration::from_millis(50));
    let told = effects.iter().find_map(|(_, effect)| match effect {
        Effect::Warn(warnings) => Some(Arc::clone(warnings)),
        Effect::Apply { .. } | Effect::Publish(_) | Effect::Persist(_) => None,
    });
    assert!(told.unwrap().iter().any(|warning| warning.object == ObjectName::Node(name("c"))));
}

/// An apply that has failed often enough for its back-off to be long.
fn failing() -> Bench {
    let mut bench = Bench::steady();
    bench.event(Event::Drift(DriftKind::Route));
    for _ in 0..12 {
        bench.effects();
        bench.event(Event::Applied(ApplyOutcome::Failed));
        while bench.core.applying.is_none() {
            bench.now = bench.core.next_deadline().unwrap();
            bench.core.handle_timeout(bench.now);
        }
    }
    bench.effects();
    bench.event(Event::Applied(ApplyOutcome::Failed));
    bench
}

#[test]
fn another_plan_does_not_wait_for_the_back_off_and_drift_does() {
    let mut bench = failing();
    bench.event(Event::Drift(DriftKind::Route));
    assert!(applies(&bench.wait(Duration::from_secs(10))).is_empty());
    bench.show(&published_cluster(&["a", "b", "c"]));
    let applied = applies(&bench.wait(Duration::from_millis(50)));
    assert_eq!(
        applied,
        [(Duration::from_millis(10), Scope::Everything, Cause::Plan)],
        "drift that waits is looked for on the way"
    );
}

#[test]
fn an_uplink_that_is_back_ends_the_back_off() {
    let mut bench = failing();
    bench.event(Event::UplinkBack);
    assert!(matches!(bench.effects().as_slice(), [Effect::Apply { scope: Scope::Everything, .. }]));
}

#[test]
fn what_is_missing_outside_is_looked_for_every_second_and_noticed_at_once() {
    let mut bench = failing();
    bench.show(&published_cluster(&["a", "b", "c"]));
    bench.wait(Duration::from_millis(50));
    for _ in 0..5 {
        bench.event(Event::Applied(ApplyOutcome::Waiting));
        let applied = applies(&bench.wait(Duration::from_secs(1)));
        assert_eq!(applied, [(Duration::from_secs(1), Scope::Everything, Cause::Retry)]);
    }
    bench.event(Event::Applied(ApplyOutcome::Waiting));
    bench.event(Event::Drift(DriftKind::Device));
    assert!(matches!(bench.effects().as_slice(), [Effect::Apply { .. }]));
}

#[test]
fn a_new_plan_that_waits_for_a_failing_apply_is_not_delayed_by_drift() {
    let mut bench = failing();
    assert_eq!(applies(&bench.wait(Duration::from_secs(40))).len(), 1, "the next attempt is under way");
    bench.show(&published_cluster(&["a", "b", "c"]));
    bench.wait(Duration::from_millis(50));
    bench.event(Event::Drift(DriftKind::Route));
    bench.event(Event::Applied(ApplyOutcome::Failed));
    assert!(matches!(bench.effects().as_slice(), [Effect::Apply { cause: Cause::Plan, .. }]));
}

#[test]
fn a_rotated_preshared_key_is_applied_at_once_and_delays_no_repair() {
    let mut bench = failing();
    bench.event(Event::PresharedKeys);
    assert_eq!(
        applies(&bench.wait(Duration::ZERO)).len() + bench.effects().len(),
        1,
        "a new key waits for no back-off"
    );
    bench.event(Event::Applied(ApplyOutcome::Changed));
    bench.event(Event::Drift(DriftKind::Route));
    assert!(matches!(bench.effects().as_slice(), [Effect::Apply { cause: Cause::Drift(DriftKind::Route), .. }]));
}
