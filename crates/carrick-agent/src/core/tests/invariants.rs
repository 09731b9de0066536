//! What holds whatever happens, in whichever order.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What can happen to an agent, in small.
#[derive(Debug, Clone)]
enum Step {
    /// The API shows these nodes, `a` among them or not.
    Shows(Vec<u8>, bool),
    /// The API shows what was published.
    Echo,
    Facts,
    Api(bool),
    Drift,
    Apply(ApplyOutcome),
    Publication(PublishOutcome),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (vec(0..6u8, 0..4), any::<bool>()).prop_map(|(nodes, with_me)| Step::Shows(nodes, with_me)),
        Just(Step::Echo),
        Just(Step::Facts),
        any::<bool>().prop_map(Step::Api),
        Just(Step::Drift),
        prop_oneof![
            Just(ApplyOutcome::Unchanged),
            Just(ApplyOutcome::Changed),
            Just(ApplyOutcome::Waiting),
            Just(ApplyOutcome::Failed),
        ]
        .prop_map(Step::Apply),
        prop_oneof![Just(PublishOutcome::Complete), Just(PublishOutcome::Failed)].prop_map(Step::Publication),
        (0..20_000u16).prop_map(Step::Wait),
    ]
}

/// A bench that counts what is under way.
struct Trial {
    bench: Bench,
    applies: usize,
    publications: usize,
}

impl Trial {
    fn new() -> Self {
        let mut bench = Bench::new();
        bench.tell_facts();
        bench.show_first(&cluster(&["a", "b"]));
        bench.event(Event::Api(ApiState::Synced));
        let mut trial = Self { bench, applies: 0, publications: 0 };
        trial.note_effects();
        trial
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::Shows(nodes, with_me) => {
                let mut names: BTreeSet<String> = nodes.iter().map(|number| format!("n{number}")).collect();
                names.extend(with_me.then(|| "a".to_owned()));
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.bench.show(&cluster(&names));
            }
            Step::Echo => self.echo(),
            Step::Facts => self.bench.tell_facts(),
            Step::Api(true) => self.bench.event(Event::Api(ApiState::Synced)),
            Step::Api(false) => self.bench.event(Event::Api(ApiState::Lost)),
            Step::Drift => self.bench.event(Event::Drift(DriftKind::Route)),
            Step::Apply(outcome) => {
                if std::mem::take(&mut self.applies) > 0 {
                    self.bench.event(Event::Applied(*outcome));
                }
            }
            Step::Publication(outcome) => {
                if std::mem::take(&mut self.publications) > 0 {
                    self.bench.event(Event::Published(*outcome));
                }
            }
            Step::Wait(milliseconds) => self.wait(Duration::from_millis(u64::from(*milliseconds))),
        }
        self.note_effects();
    }

    fn echo(&mut self) {
        let shown =
            own::overlay(self.bench.core.cluster(), &name("a"), key(1), Some(&facts()), None, &Settings::default());
        self.bench.show(&shown);
    }

    /// Lets time pass; [`Bench::wait`] fails when the core spins.
    fn wait(&mut self, time: Duration) {
        for (_, effect) in self.bench.wait(time) {
            self.note(&effect);
        }
    }

    fn note_effects(&mut self) {
        for effect in self.bench.effects() {
            self.note(&effect);
        }
    }

    fn note(&mut self, effect: &Effect) {
        match effect {
            Effect::Apply { .. } => self.applies += 1,
            Effect::Publish(_) => self.publications += 1,
            Effect::Persist(_) | Effect::Warn(_) => {}
        }
        assert!(self.applies <= 1, "two applies at once");
        assert!(self.publications <= 1, "two publications at once");
    }
}

proptest! {
    #[test]
    fn one_thing_at_a_time_and_all_of_it_in_the_end(steps in vec(step(), 0..40)) {
        let mut trial = Trial::new();
        for step in &steps {
            trial.carry_out(step);
        }
        // The world calms down: everything succeeds from now on.
        trial.bench.show(&cluster(&["a", "b", "z"]));
        trial.bench.event(Event::Api(ApiState::Synced));
        for _ in 0..200 {
            trial.carry_out(&Step::Apply(ApplyOutcome::Unchanged));
            trial.carry_out(&Step::Publication(PublishOutcome::Complete));
            trial.carry_out(&Step::Echo);
            trial.carry_out(&Step::Wait(500));
        }
        let core = &trial.bench.core;
        prop_assert!(core.has_applied());
        prop_assert_eq!(core.waiting(), Waiting::ForNothing);
        prop_assert_eq!(core.plan().unwrap().wireguard.peers.len(), 2);
        prop_assert_eq!(core.missing_publication(), None);
    }
}
