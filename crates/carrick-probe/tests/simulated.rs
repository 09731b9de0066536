//! A prober in a simulated world: time passes only when the test says so.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use carrick_probe::{
    Audience, Carrier, Condition, Copying, Falls, Hearing, Now, Path, PathKind, PathState, Prober, Standpoint, Tidings,
    Transmit,
};
use carrick_topology::NodeName;
use carrick_topology::model::Liveness;
use carrick_topology::plan::{ProbePlan, ProbeTarget};

const INTERVAL: Duration = Duration::from_millis(250);
const WELL_AS_EVER: Condition = Condition {
    hearing: Hearing { tunnels: Audience::Somebody, inside: Audience::Somebody },
    well_ms: u32::MAX,
    copying: Copying::No,
    falls: Falls::from_byte(0),
};

/// How a node answers.
#[derive(Clone, Copy)]
enum Answering {
    /// After this time, packets up to this size.
    Agent(Duration, u32),
    /// With "port unreachable": six times at once, then once a second.
    Kernel,
    Nobody,
}

const WELL: Answering = Answering::Agent(Duration::from_millis(10), 9000);

struct World {
    now: Now,
    prober: Prober,
    nodes: BTreeMap<IpAddr, (NodeName, Answering)>,
    on_the_way: Vec<(Now, Transmit)>,
    /// What each kernel's rate limit leaves it, and when that was so.
    allowances: BTreeMap<IpAddr, (Duration, Now)>,
    sent: Vec<(Now, Transmit)>,
    tidings: Vec<(Now, Tidings)>,
    steps: usize,
    /// Those that say that they copy.
    copying: Vec<&'static str>,
    /// What all answer that they were told of their falls.
    falls: Falls,
}

impl World {
    /// A gateway of location `a` and the gateways that it probes: `b1`, `b2`, …
    fn with(gateways: &[(&str, Answering)]) -> Self {
        let standpoint = Standpoint { location: "a".parse().unwrap(), is_gateway: true, carrier: Carrier::Itself };
        Self::at(standpoint, gateways)
    }

    /// A node and the gateways that it probes.
    fn at(standpoint: Standpoint, gateways: &[(&str, Answering)]) -> Self {
        let mut nodes = BTreeMap::new();
        let mut plan = ProbePlan { targets: BTreeMap::new(), crowd: 1 };
        for (number, (name, answering)) in (1_u16..).zip(gateways) {
            let [high, low] = number.to_be_bytes();
            let to = IpAddr::from([10, 4, high, low]);
            let target = ProbeTarget {
                location: name[..1].parse().unwrap(),
                kind: if name.starts_with('a') { PathKind::Inside } else { PathKind::Tunnel },
                from: "10.4.255.1".parse().unwrap(),
                to,
                device_mtu: 1420,
            };
            plan.targets.insert(name.parse().unwrap(), target);
            nodes.insert(to, (name.parse().unwrap(), *answering));
        }
        let mut prober = Prober::new(INTERVAL, 7, Liveness::default());
        let now = Duration::from_secs(100);
        prober.set_plan(now, standpoint, &plan);
        Self {
            now,
            prober,
            nodes,
            on_the_way: Vec::new(),
            allowances: BTreeMap::new(),
            sent: Vec::new(),
            tidings: Vec::new(),
            steps: 0,
            copying: Vec::new(),
            falls: Falls::default(),
        }
    }

    fn set(&mut self, name: &str, answering: Answering) {
        self.nodes.values_mut().find(|(node, _)| node.as_str() == name).unwrap().1 = answering;
    }

    /// Lets this time pass.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.on_the_way.iter().map(|(at, _)| *at).min();
            let next = [arrival, self.prober.next_deadline()].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < 1_000_000, "it turns in vain");
        let now = self.now;
        let (arrived, on_the_way) = std::mem::take(&mut self.on_the_way).into_iter().partition(|(at, _)| *at <= now);
        self.on_the_way = on_the_way;
        let arrived: Vec<(Now, Transmit)> = arrived;
        for (_, transmit) in arrived {
            let copies = self.copying.contains(&self.nodes[&transmit.to].0.as_str());
            let copying = if copies { Copying::Yes } else { Copying::No };
            let condition = Condition { copying, falls: self.falls, ..WELL_AS_EVER };
            self.prober.take_answer(now, transmit.to, transmit.question, condition);
        }
        self.prober.handle_timeout(now);
        while let Some(transmit) = self.prober.next_transmit() {
            self.sent.push((now, transmit));
            match self.nodes[&transmit.to].1 {
                Answering::Agent(after, largest) if transmit.ip_bytes.unwrap_or(0) <= largest => {
                    self.on_the_way.push((now + after, transmit));
                }
                Answering::Agent(..) | Answering::Nobody => {}
                Answering::Kernel => {
                    let (left, at) = self.allowances.entry(transmit.to).or_insert((seconds(6), now));
                    *left = (*left + now.saturating_sub(*at)).min(seconds(6));
                    *at = now;
                    if *left >= seconds(1) {
                        *left -= seconds(1);
                        self.prober.take_refusal(now, transmit.to);
                    }
                }
            }
        }
        while let Some(tidings) = self.prober.next_tidings() {
            self.tidings.push((now, tidings));
        }
    }

    /// When the set of nodes that are down was last told, and which they are.
    fn down(&self) -> (Option<Now>, Vec<&str>) {
        let told = self.tidings.iter().rev().find_map(|(at, tidings)| match tidings {
            Tidings::Liveness(liveness) => Some((*at, liveness)),
            Tidings::Path { .. } | Tidings::PathMtus(_) => None,
        });
        let names = told.map(|(_, liveness)| liveness.down.iter().map(NodeName::as_str).collect()).unwrap_or_default();
        (told.map(|(at, _)| at), names)
    }

    /// The gateways that return, as told last.
    fn returning(&self) -> Vec<&str> {
        let told = self.tidings.iter().rev().find_map(|(_, tidings)| match tidings {
            Tidings::Liveness(liveness) => Some(&liveness.returning),
            Tidings::Path { .. } | Tidings::PathMtus(_) => None,
        });
        told.map(|returning| returning.iter().map(NodeName::as_str).collect()).unwrap_or_default()
    }

    fn path(&self, name: &str) -> Path {
        self.prober.paths().into_iter().find(|path| path.to.as_str() == name).unwrap()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_gateway_that_dies_is_down_within_a_second_and_back_after_ten() {
    for moment in (0..250).step_by(10) {
        let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
        world.run(seconds(5) + Duration::from_millis(moment));
        assert_eq!(world.down(), (None, vec![]));
        world.set("b1", Answering::Nobody);
        let died = world.now;
        world.run(seconds(3));
        let (at, down) = world.down();
        assert_eq!(down, ["b1"]);
        assert!(at.unwrap() - died <= Duration::from_millis(1020), "{:?}", at.unwrap() - died);
        world.set("b1", WELL);
        world.run(seconds(9));
        assert_eq!(world.down().1, ["b1"]);
        world.run(seconds(2));
        assert_eq!(world.down().1, [""; 0]);
    }
}

#[test]
fn a_gateway_that_others_saw_fall_more_often_is_waited_for_as_long_as_they_wait() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Nobody);
    world.run(seconds(3));
    world.set("b1", WELL);
    world.falls = Falls::from_byte(3);
    world.run(seconds(39));
    assert_eq!(world.down().1, ["b1"]);
    world.run(seconds(2));
    assert_eq!(world.down().1, [""; 0]);

    let told = |name: &str| {
        let to = |transmit: &Transmit| world.nodes[&transmit.to].0.as_str() == name;
        world.sent.iter().rev().find(|(_, transmit)| to(transmit)).unwrap().1.falls
    };
    assert_eq!(
        (told("b1"), told("b2")),
        (Falls::from_byte(3), Falls::default()),
        "the one is told, the other never fell"
    );
}

#[test]
fn what_one_asker_counts_is_told_to_all() {
    let mut world = World::with(&[("b1", WELL)]);
    for falls in [1, 3, 0] {
        world.prober.note_question(world.now, PathKind::Tunnel, Falls::from_byte(falls));
    }
    assert_eq!(world.prober.condition(world.now).falls, Falls::from_byte(3));
}

/// Lets `a1` fall and return; gives when it was told to return, and when to count again, from the time at which it was well again.
fn return_seen_by(carrier: Carrier, copying: &'static str) -> (Duration, Duration) {
    let standpoint = Standpoint { location: "a".parse().unwrap(), is_gateway: false, carrier };
    let mut world = World::at(standpoint, &[("a1", WELL), ("a2", WELL)]);
    world.run(seconds(5));
    world.set("a1", Answering::Nobody);
    world.run(seconds(3));
    assert_eq!((world.down().1, world.returning()), (vec!["a1"], vec![]));
    world.set("a1", WELL);
    let well = world.now;
    let mut until = |holds: &dyn Fn(&World) -> bool, then: &dyn Fn(&mut World)| {
        while !holds(&world) {
            assert!(world.now < well + seconds(60), "{:?}", world.tidings);
            world.run(Duration::from_millis(10));
        }
        then(&mut world);
        world.now - well
    };
    let copies = |world: &mut World| match copying {
        "itself" => world.prober.set_copying(Copying::Yes),
        other => world.copying.push(other),
    };
    let returns = until(&|world| !world.returning().is_empty(), &copies);
    let counts = until(&|world| world.down().1.is_empty(), &|world| {
        let copies = if copying == "itself" { Copying::Yes } else { Copying::No };
        assert_eq!(world.prober.condition(world.now).copying, copies, "it says so itself");
    });
    until(&|world| world.returning().is_empty(), &|_| {});
    (returns, counts)
}

#[test]
fn whose_carrier_copies_waits_a_second_and_nobody_else() {
    let a2 = || Carrier::Other("a2".parse().unwrap());
    let about = |time: Duration| time.as_millis() / 500;
    for (carrier, copying, waits) in [
        (a2(), "nobody", false),
        (a2(), "a1", false),
        (a2(), "a2", true),
        (Carrier::Itself, "a2", false),
        (Carrier::Itself, "itself", true),
        (Carrier::Nobody, "a2", false),
    ] {
        let (returns, counts) = return_seen_by(carrier.clone(), copying);
        assert!(returns < seconds(9), "{returns:?}: in time for others to hear that somebody copies");
        let wanted = if waits { 11_000 } else { 10_000 };
        assert_eq!(about(counts), wanted / 500, "{carrier:?} {copying} {counts:?}");
    }
}

#[test]
fn an_agent_that_restarts_is_not_down_and_its_node_dying_meanwhile_is_noticed() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Kernel);
    world.run(seconds(60));
    assert_eq!((world.down(), world.path("b1").state), ((None, vec![]), PathState::AgentAway));
    world.set("b1", Answering::Nobody);
    world.run(seconds(5));
    assert_eq!(world.down().1, ["b1"]);
}

#[test]
fn silence_of_a_whole_location_judges_nobody_there() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL), ("c1", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Nobody);
    world.set("b2", Answering::Nobody);
    world.run(seconds(60));
    assert!(world.down().1.is_empty(), "{:?}", world.tidings);
    assert_eq!(world.path("b1").state, PathState::Down);
    assert_eq!(world.path("c1").state, PathState::Up);
}

#[test]
fn a_prober_never_wants_to_be_called_again_at_once_for_ever() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    world.set("b1", Answering::Nobody);
    world.run(seconds(5));
    world.set("b1", WELL);
    world.run(seconds(3));
    // It returns when its whole location falls silent.
    world.set("b1", Answering::Nobody);
    world.set("b2", Answering::Nobody);
    world.run(seconds(60));
    let steps = world.steps;
    world.run(seconds(60));
    assert!(world.steps - steps < 60 * 50, "{} steps a minute", world.steps - steps);
}

#[test]
fn a_long_way_is_no_silence() {
    let far = Answering::Agent(Duration::from_millis(400), 9000);
    let mut world = World::with(&[("b1", far), ("b2", WELL)]);
    world.run(seconds(30));
    assert!(world.down().1.is_empty(), "{:?}", world.tidings);
    let path = world.path("b1");
    assert_eq!((path.round_trip.unwrap().p50_us, path.loss), (400_000, Some(0.0)));
}

#[test]
fn a_prober_that_is_held_up_blames_nobody() {
    let mut world = World::with(&[("b1", WELL), ("b2", WELL)]);
    world.run(seconds(5));
    for _ in 0..10 {
        world.now += seconds(5);
        world.step();
        world.run(Duration::from_millis(50));
    }
    assert_eq!(world.down(), (None, vec![]), "{:?}", world.tidings);
}

#[test]
fn the_largest_packet_is_found_and_told_where_it_is_less_than_the_devices() {
    let mut world = World::with(&[("b1", Answering::Agent(Duration::from_millis(40), 1240)), ("b2", WELL)]);
    world.run(seconds(60));
    let told = world.tidings.iter().find_map(|(at, tidings)| match tidings {
        Tidings::PathMtus(mtus) => Some((*at, mtus.clone())),
        Tidings::Path { .. } | Tidings::Liveness(_) => None,
    });
    let (at, mtus) = told.unwrap();
    let found = mtus["b1"];
    assert!((1237..=1240).contains(&found) && mtus.len() == 1, "{mtus:?}");
    assert!(at - seconds(100) < seconds(40), "{at:?}");
    assert_eq!((world.path("b1").mtu, world.path("b2").mtu), (Some(found), Some(1420)));
    assert!(world.down().1.is_empty(), "padded probes say nothing of life");
    assert_eq!(world.path("b1").loss, Some(0.0), "nor of loss");
}

#[test]
fn probes_are_never_more_than_fifty_a_second() {
    let names: Vec<String> = (0..1000).map(|number| format!("n{number}")).collect();
    let nodes: Vec<(&str, Answering)> = names.iter().map(|name| (name.as_str(), Answering::Nobody)).collect();
    let mut world = World::with(&nodes);
    world.run(seconds(60));
    let busiest = (100..160)
        .map(|second| world.sent.iter().filter(|(at, _)| (seconds(second)..seconds(second + 1)).contains(at)).count());
    let busiest = busiest.max().unwrap();
    assert!((45..=51).contains(&busiest), "{busiest}");
    let probed: std::collections::BTreeSet<IpAddr> = world.sent.iter().map(|(_, transmit)| transmit.to).collect();
    assert_eq!(probed.len(), 1000, "each has its turn");
}

#[test]
fn answers_to_the_questions_of_others_are_ignored() {
    let mut world = World::with(&[("b1", Answering::Nobody)]);
    world.run(seconds(1));
    let (_, mut transmit) = world.sent[0];
    transmit.question.token += 1;
    world.prober.take_answer(world.now, transmit.to, transmit.question, WELL_AS_EVER);
    assert_ne!(world.path("b1").state, PathState::Up);
}
