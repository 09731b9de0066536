//! What holds whatever happens, in whichever order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use carrick_topology::Settings;
use proptest::collection::vec;
use proptest::prelude::*;

use super::fixture::{Fixture, cluster, facts, name, own_key};
use crate::{ApiState, ApplyOutcome, DriftKind, Effect, Event, Waiting, WriteOutcome, own};

/// What can happen to an agent.
#[derive(Debug, Clone)]
enum Step {
    /// The API shows these nodes, `a` among them or not.
    Shows(Vec<u8>, bool),
    /// The API shows what was published.
    Echo,
    Surroundings,
    Api(bool),
    Drift(DriftKind),
    Apply(ApplyOutcome),
    /// The oldest write in progress ends.
    Write(WriteOutcome),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (vec(0..6u8, 0..4), any::<bool>()).prop_map(|(nodes, with_me)| Step::Shows(nodes, with_me)),
        Just(Step::Echo),
        Just(Step::Surroundings),
        any::<bool>().prop_map(Step::Api),
        prop_oneof![Just(DriftKind::Route), Just(DriftKind::Device), Just(DriftKind::Nftables)].prop_map(Step::Drift),
        prop_oneof![
            Just(ApplyOutcome::Unchanged),
            Just(ApplyOutcome::Changed),
            Just(ApplyOutcome::Waiting),
            Just(ApplyOutcome::Failed),
        ]
        .prop_map(Step::Apply),
        prop_oneof![Just(WriteOutcome::Complete), Just(WriteOutcome::Failed)].prop_map(Step::Write),
        (0..20_000u16).prop_map(Step::Wait),
    ]
}

/// A write in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Write {
    Publication,
    PodFiles,
    DataPath,
}

/// A fixture that counts what is in progress.
struct Trial {
    fixture: Fixture,
    applies: usize,
    writes: BTreeMap<Write, usize>,
}

impl Trial {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        fixture.report_surroundings();
        fixture.show_first(&cluster(&["a", "b"]));
        fixture.event(Event::Api(ApiState::Synced));
        let mut trial = Self { fixture, applies: 0, writes: BTreeMap::new() };
        trial.note_effects();
        trial
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Shows(nodes, with_me) => {
                let mut names: BTreeSet<String> = nodes.iter().map(|number| format!("n{number}")).collect();
                names.extend(with_me.then(|| "a".to_owned()));
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.fixture.show(&cluster(&names));
            }
            Step::Echo => self.echo(),
            Step::Surroundings => self.fixture.report_surroundings(),
            Step::Api(true) => self.fixture.event(Event::Api(ApiState::Synced)),
            Step::Api(false) => self.fixture.event(Event::Api(ApiState::Lost)),
            Step::Drift(kind) => self.fixture.event(Event::Drift(*kind)),
            Step::Apply(outcome) => {
                if std::mem::take(&mut self.applies) > 0 {
                    self.fixture.event(Event::Applied(*outcome));
                }
            }
            Step::Write(outcome) => {
                if let Some((write, _)) = self.writes.pop_first() {
                    self.fixture.event(match write {
                        Write::Publication => Event::Published(*outcome),
                        Write::PodFiles => Event::PodFilesWritten(*outcome),
                        Write::DataPath => Event::DataPathStarted(*outcome),
                    });
                }
            }
            Step::Wait(milliseconds) => self.wait(Duration::from_millis(u64::from(*milliseconds))),
        }
        self.note_effects();
    }

    fn echo(&mut self) {
        let known = Arc::clone(self.fixture.core.cluster());
        let shown =
            own::overlay(&known, &name("a"), own_key(1), Some(&facts()), own::Learned::default(), &Settings::default());
        self.fixture.show(&shown);
    }

    /// Lets time pass; [`Fixture::wait`] fails when a deadline stays due.
    fn wait(&mut self, time: Duration) {
        for (_, effect) in self.fixture.wait(time) {
            self.note(&effect);
        }
    }

    fn note_effects(&mut self) {
        for effect in self.fixture.effects() {
            self.note(&effect);
        }
    }

    fn note(&mut self, effect: &Effect) {
        let write = match effect {
            Effect::Apply { .. } => {
                self.applies += 1;
                assert!(self.applies <= 1, "two applies at once");
                return;
            }
            Effect::Publish(_) => Write::Publication,
            Effect::WritePodFiles(_) => Write::PodFiles,
            Effect::StartDataPath => Write::DataPath,
            _ => return,
        };
        let in_progress = self.writes.entry(write).or_default();
        *in_progress += 1;
        assert!(*in_progress <= 1, "two of {write:?} at once");
    }
}

proptest! {
    #[test]
    fn one_apply_and_one_write_at_a_time_and_all_of_it_in_the_end(steps in vec(step(), 0..40)) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.carry_out(step);
        }
        // Everything succeeds from now on.
        trial.fixture.show(&cluster(&["a", "b", "z"]));
        trial.fixture.event(Event::Api(ApiState::Synced));
        for _ in 0..200 {
            trial.carry_out(&Step::Apply(ApplyOutcome::Unchanged));
            while !trial.writes.is_empty() {
                trial.carry_out(&Step::Write(WriteOutcome::Complete));
            }
            trial.carry_out(&Step::Echo);
            trial.carry_out(&Step::Wait(500));
        }
        let core = &trial.fixture.core;
        prop_assert!(core.has_applied());
        prop_assert_eq!(core.waiting(), Waiting::ForNothing);
        prop_assert_eq!(core.plan().unwrap().wireguard.peers.len(), 2);
        prop_assert!(!core.is_publication_missing());
    }
}
