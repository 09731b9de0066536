//! A core whose clock the test moves, and a small cluster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use carrick_topology::discovery::{Attachment, Interface, InterfaceAddress, OwnFacts, OwnNode, own_facts};
use carrick_topology::model::{Family, Node};
use carrick_topology::plan::Scope;
use carrick_topology::{Change, Cluster, NodeName, PublicKey, Settings};

use crate::{ApiState, ApplyOutcome, Cause, Core, DriftKind, Effect, Event, Now, PERSIST_INTERVAL, WriteOutcome, own};

pub(super) struct Fixture {
    pub(super) core: Core,
    pub(super) now: Now,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        Self { core: Core::new(name("a"), key(1), settings, 7), now: Duration::from_secs(1000) }
    }

    pub(super) fn event(&mut self, event: Event) {
        self.core.handle_event(self.now, event);
    }

    /// The API shows this cluster; only what differs comes as an event.
    pub(super) fn show(&mut self, cluster: &Cluster) {
        let known = Arc::clone(self.core.cluster());
        let names: BTreeSet<_> = known.nodes.keys().chain(cluster.nodes.keys()).cloned().collect();
        let nodes = names.into_iter().filter(|name| known.nodes.get(name) != cluster.nodes.get(name)).map(|name| {
            let node = cluster.nodes.get(&name).cloned().map(Box::new);
            Change::Node { name, node, warnings: BTreeSet::new() }
        });
        let names: BTreeSet<_> = known.peers.keys().chain(cluster.peers.keys()).cloned().collect();
        let peers = names.into_iter().filter(|name| known.peers.get(name) != cluster.peers.get(name)).map(|name| {
            let peer = cluster.peers.get(&name).cloned().map(Box::new);
            Change::Peer { name, peer, warnings: BTreeSet::new() }
        });
        let mesh = (known.mesh != cluster.mesh)
            .then(|| Change::Mesh { mesh: cluster.mesh.clone().map(Box::new), warnings: BTreeSet::new() });
        let changes: Vec<Change> = nodes.chain(peers).chain(mesh).collect();
        if !changes.is_empty() {
            self.event(Event::Changed(changes));
        }
    }

    pub(super) fn show_first(&mut self, cluster: &Cluster) {
        self.show(cluster);
        self.event(Event::Synced);
    }

    pub(super) fn report_surroundings(&mut self) {
        self.event(Event::OwnNode(Box::new(own_node())));
        self.event(Event::Host(interfaces().into()));
    }

    pub(super) fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.core.next_effect()).collect()
    }

    /// Lets time pass, deadline by deadline, and collects the effects with the time since the start.
    pub(super) fn wait(&mut self, time: Duration) -> Vec<(Duration, Effect)> {
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

    /// The same, without the times.
    pub(super) fn effects_within(&mut self, time: Duration) -> Vec<Effect> {
        let mut effects = self.effects();
        effects.extend(self.wait(time).into_iter().map(|(_, effect)| effect));
        effects
    }

    /// A core whose plan is applied and published.
    pub(super) fn steady() -> Self {
        Self::steady_with(&published_cluster(&["a", "b"]))
    }

    pub(super) fn steady_with(shown: &Cluster) -> Self {
        let mut fixture = Self::new();
        fixture.show_first(shown);
        fixture.report_surroundings();
        fixture.event(Event::Api(ApiState::Synced));
        for _ in 0..4 {
            for effect in fixture.effects_within(PERSIST_INTERVAL) {
                fixture.succeed(effect);
            }
        }
        while let Some(effect) = fixture.core.next_effect() {
            fixture.succeed(effect);
        }
        assert!(fixture.core.has_applied());
        fixture
    }

    /// Reports that what the effect asks for succeeded.
    pub(super) fn succeed(&mut self, effect: Effect) {
        match effect {
            Effect::Apply { .. } => self.event(Event::Applied(ApplyOutcome::Changed)),
            Effect::Publish(_) => self.event(Event::Published(WriteOutcome::Complete)),
            Effect::WritePodFiles(_) => self.event(Event::PodFilesWritten(WriteOutcome::Complete)),
            Effect::StartDataPath => self.event(Event::DataPathStarted(WriteOutcome::Complete)),
            Effect::WritePeerStatus { peer, .. } => {
                self.event(Event::PeerStatusWritten(peer, WriteOutcome::Complete));
            }
            Effect::RestorePodRoutes
            | Effect::ReadPresharedKeys(_)
            | Effect::Probe(_)
            | Effect::ProbeInterval(_)
            | Effect::SaveLiveness(_)
            | Effect::ResolveNames(_)
            | Effect::RefreshNames(_)
            | Effect::Persist(_)
            | Effect::Warn(_)
            | Effect::TellFaults(_) => {}
        }
    }

    /// A core whose apply has failed often enough for its back-off to be long.
    pub(super) fn failing() -> Self {
        let mut fixture = Self::steady();
        fixture.event(Event::Drift(DriftKind::Route));
        for _ in 0..12 {
            fixture.await_apply();
            fixture.event(Event::Applied(ApplyOutcome::Failed));
        }
        fixture.effects();
        fixture
    }

    /// Lets time pass until an apply begins, and returns its cause.
    pub(super) fn await_apply(&mut self) -> Cause {
        loop {
            let begun = self.effects().into_iter().find_map(|effect| match effect {
                Effect::Apply { cause, .. } => Some(cause),
                _ => None,
            });
            if let Some(cause) = begun {
                return cause;
            }
            self.now = self.now.max(self.core.next_deadline().unwrap());
            self.core.handle_timeout(self.now);
        }
    }
}

pub(super) fn applies(effects: &[(Duration, Effect)]) -> Vec<(Duration, Scope, Cause)> {
    let apply = |(at, effect): &(Duration, Effect)| match effect {
        Effect::Apply { scope, cause, .. } => Some((*at, *scope, *cause)),
        _ => None,
    };
    effects.iter().filter_map(apply).collect()
}

/// The causes of the applies among these effects.
pub(super) fn causes(effects: &[Effect]) -> Vec<Cause> {
    let cause = |effect: &Effect| match effect {
        Effect::Apply { cause, .. } => Some(*cause),
        _ => None,
    };
    effects.iter().filter_map(cause).collect()
}

pub(super) fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

pub(super) fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

/// The same key as the node's own.
pub(super) fn own_key(number: u8) -> own::OwnKey {
    own::OwnKey { public: key(number), proof: None }
}

/// A cluster of these nodes, each in a location of its name, in which `a` has published nothing yet.
pub(super) fn cluster(names: &[&str]) -> Cluster {
    let mut cluster = Cluster::default();
    for (number, text) in (1_u8..).zip(names) {
        let mut node = Node { location: Some(text.parse().unwrap()), ..Node::new(name(text), 0) };
        if *text != "a" {
            node.public_key = Some(key(number));
            node.pod_cidrs = BTreeSet::from([format!("10.42.{number}.0/24").parse().unwrap()]);
            node.mesh_addresses = BTreeSet::from([format!("10.4.0.{number}").parse().unwrap()]);
            node.advertised_endpoints = BTreeSet::from([format!("198.51.100.{number}").parse().unwrap()]);
        }
        cluster.insert_node(node);
    }
    cluster
}

/// The cluster after the API shows what node `a` published.
pub(super) fn published_cluster(names: &[&str]) -> Cluster {
    let overlaid = own::overlay(
        &Arc::new(cluster(names)),
        &name("a"),
        own_key(1),
        Some(&facts()),
        own::Learned::default(),
        &Settings::default(),
    );
    Cluster::clone(&overlaid)
}

pub(super) fn own_node() -> OwnNode {
    OwnNode {
        pod_cidrs: BTreeSet::from(["10.42.1.0/24".parse().unwrap()]),
        external_ips: vec!["198.51.100.1".parse().unwrap()],
        ..OwnNode::new(Node::new(name("a"), 0))
    }
}

pub(super) fn interfaces() -> Vec<Interface> {
    vec![Interface {
        name: "eth0".parse().unwrap(),
        attachment: Attachment::Network,
        mtu: 1500,
        addresses: vec![InterfaceAddress::primary("198.51.100.1/24".parse().unwrap())],
        on_link: BTreeSet::new(),
        default_route: BTreeSet::from([Family::V4]),
    }]
}

pub(super) fn facts() -> OwnFacts {
    own_facts(&own_node(), &interfaces(), &Settings::default())
}
