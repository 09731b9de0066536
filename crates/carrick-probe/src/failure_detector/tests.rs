//! Judging, with testimonies made up.

use super::gateway_history::MOVING_TIME;
use super::*;
use crate::flap_count::FIRST_STABLE_TIME;

const HEARS: HeardPeers = HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::SomePeer };
const NO_TUNNEL: HeardPeers = HeardPeers { tunnels: Reachability::NoPeer, inside: Reachability::SomePeer };
const NOBODY_INSIDE: HeardPeers = HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::NoPeer };
const OUTSIDER: Observer<'_> = Observer {
    gateway_of: None,
    heard_peers: HEARS,
    hears_tunnels_since: Some(Now::ZERO),
    encapsulated: EncapsulatingSenders::None,
    lead: LEAD,
};
const LEAD: Duration = Duration::from_secs(2);

struct Fixture {
    failure_detector: FailureDetector,
    location: LocationName,
    gateways: [NodeName; 2],
    now: Now,
    /// Since when those hear somebody on their other side that do.
    hears_since: Now,
}

impl Fixture {
    fn new() -> Self {
        Self {
            failure_detector: FailureDetector::default(),
            location: "a".parse().unwrap(),
            gateways: ["a1".parse().unwrap(), "a2".parse().unwrap()],
            now: Duration::from_secs(1000),
            hears_since: Now::ZERO,
        }
    }

    fn hears(&mut self, observer: Observer<'_>, kind: PathKind, heard: &[(PathState, HeardPeers)]) -> Vec<String> {
        let now = self.now;
        let report = |(node, (state, heard_peers)): (_, (PathState, HeardPeers))| Report {
            node,
            location: &self.location,
            kind,
            state,
            flap_count: FlapCount::default(),
            heard_from: (state == PathState::Up).then_some(now),
            silent_from: (state == PathState::Down).then_some(now - DEAF_TIME),
            well_since: None,
            deaf_since: [heard_peers.tunnels, heard_peers.inside]
                .contains(&Reachability::NoPeer)
                .then_some(now - DEAF_TIME),
            hears_since: (heard_peers.by(kind.other_side()) == Reachability::SomePeer).then_some(self.hears_since),
        };
        let reports: Vec<_> = self.gateways.iter().zip(heard.iter().copied()).map(report).collect();
        self.failure_detector.evaluate(self.now, observer, &reports);
        self.failure_detector.liveness().down.iter().map(ToString::to_string).collect()
    }

    fn after(&mut self, seconds: u64, heard: &[(PathState, HeardPeers)]) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.hears(OUTSIDER, PathKind::Tunnel, heard)
    }
}

const UP: (PathState, HeardPeers) = (PathState::Up, HEARS);
const DOWN: (PathState, HeardPeers) =
    (PathState::Down, HeardPeers { tunnels: Reachability::Unknown, inside: Reachability::Unknown });
const AWAY: (PathState, HeardPeers) = (PathState::AgentAway, DOWN.1);

#[test]
fn a_silent_gateway_is_down_if_another_one_is_heard() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
}

#[test]
fn silence_of_a_whole_location_judges_nobody() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.after(1, &[DOWN, DOWN]), [""; 0]);
    assert_eq!(fixture.after(1, &[DOWN, (PathState::Unknown, DOWN.1)]), [""; 0]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[DOWN, DOWN]), ["a1"], "and acquits nobody");
}

#[test]
fn a_gateway_whose_agent_is_away_is_not_down() {
    assert_eq!(Fixture::new().after(1, &[AWAY, UP]), [""; 0]);
}

#[test]
fn a_gateway_that_hears_nobody_on_its_other_side_is_down() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.hears(OUTSIDER, PathKind::Tunnel, &[(PathState::Up, NOBODY_INSIDE), UP]), ["a1"]);
    let mut fixture = Fixture::new();
    assert_eq!(fixture.hears(OUTSIDER, PathKind::Inside, &[(PathState::Up, NO_TUNNEL), UP]), ["a1"]);
}

#[test]
fn what_a_gateway_said_before_another_one_heard_anybody_is_not_held_against_it() {
    for (kind, deaf) in [(PathKind::Tunnel, NOBODY_INSIDE), (PathKind::Inside, NO_TUNNEL)] {
        let location: LocationName = "a".parse().unwrap();
        let mut fixture = Fixture::new();
        fixture.hears_since = fixture.now - DEAF_TIME / 2;
        let itself =
            Observer { gateway_of: Some(&location), hears_tunnels_since: Some(fixture.hears_since), ..OUTSIDER };
        let observer = if kind == PathKind::Tunnel { OUTSIDER } else { itself };
        let heard = [(PathState::Up, deaf), UP];
        assert_eq!(fixture.hears(observer, kind, &heard), [""; 0], "it may hear somebody by now");
        fixture.now += DEAF_TIME / 2;
        assert_eq!(fixture.hears(observer, kind, &heard), ["a1"], "it was asked since, and hears nobody");
    }
}

#[test]
fn where_nobody_hears_the_other_side_nobody_is_to_blame() {
    let both = [(PathState::Up, NO_TUNNEL); 2];
    assert_eq!(Fixture::new().hears(OUTSIDER, PathKind::Inside, &both), [""; 0]);
}

#[test]
fn a_standby_gateway_that_hears_others_judges_the_only_active_one() {
    let location: LocationName = "a".parse().unwrap();
    let standby = |heard_peers: HeardPeers| {
        let hears_tunnels_since = (heard_peers.tunnels == Reachability::SomePeer).then_some(Now::ZERO);
        Observer { gateway_of: Some(&location), heard_peers, hears_tunnels_since, ..OUTSIDER }
    };
    assert_eq!(Fixture::new().hears(standby(HEARS), PathKind::Inside, &[DOWN]), ["a1"]);
    let alone = HeardPeers { tunnels: Reachability::NoPeer, inside: Reachability::NoPeer };
    assert_eq!(Fixture::new().hears(standby(alone), PathKind::Inside, &[DOWN]), [""; 0], "it is cut off itself");
}

#[test]
fn each_fall_doubles_the_time_until_a_gateway_counts_again() {
    let mut fixture = Fixture::new();
    for stable in [10, 20, 40, 80, 160, 300, 300] {
        assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
        assert_eq!(fixture.after(1, &[UP, UP]), ["a1"]);
        assert_eq!(fixture.failure_detector.next_deadline(), Some(after(fixture.now, stable) - LEAD));
        assert_eq!(fixture.after(stable - 1, &[UP, UP]), ["a1"]);
        assert_eq!(fixture.failure_detector.next_deadline(), Some(after(fixture.now, 1)));
        assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
    }
    assert_eq!(fixture.after(901, &[UP, UP]), [""; 0]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
    fixture.after(1, &[UP, UP]);
    assert_eq!(fixture.after(10, &[UP, UP]), [""; 0], "forgiven");
}

#[test]
fn a_gateway_that_falls_while_it_returns_starts_anew() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[DOWN, UP]);
    fixture.after(1, &[UP, UP]);
    fixture.after(9, &[DOWN, UP]);
    fixture.after(1, &[UP, UP]);
    assert_eq!(fixture.after(9, &[UP, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn silence_of_all_makes_a_returning_gateway_begin_anew_and_leaves_nothing_due() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[DOWN, UP]);
    fixture.after(1, &[UP, UP]);
    assert!(fixture.failure_detector.next_deadline().is_some());
    assert_eq!(fixture.after(60, &[DOWN, DOWN]), ["a1"]);
    assert_eq!(fixture.failure_detector.next_deadline(), None);
    fixture.after(1, &[UP, UP]);
    assert_eq!(fixture.after(9, &[UP, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn what_is_due_and_waits_for_a_word_is_no_deadline() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[DOWN, UP]);
    fixture.after(1, &[UP, UP]);
    let unknown = (PathState::Unknown, DOWN.1);
    assert_eq!(fixture.after(11, &[unknown, UP]), ["a1"]);
    assert_eq!(fixture.failure_detector.next_deadline(), None);
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn all_give_a_gateway_its_traffic_back_at_one_moment() {
    let well_since = Duration::from_secs(2000);
    let due_after = |flap_count: FlapCount, heard_at: Duration| {
        let mut fixture = Fixture::new();
        fixture.after(1, &[DOWN, UP]);
        let report = |node| Report {
            node,
            location: &fixture.location,
            kind: PathKind::Tunnel,
            state: PathState::Up,
            flap_count,
            heard_from: Some(heard_at),
            silent_from: None,
            well_since: Some(well_since),
            deaf_since: None,
            hears_since: Some(Now::ZERO),
        };
        let reports: Vec<_> = fixture.gateways.iter().map(report).collect();
        fixture.failure_detector.evaluate(heard_at, Observer { lead: Duration::ZERO, ..OUTSIDER }, &reports);
        fixture.failure_detector.next_deadline()
    };
    let once = FlapCount::default().and_one();
    let due = |heard_at| due_after(once, heard_at);
    assert_eq!(due(well_since + Duration::from_millis(40)), Some(well_since + FIRST_STABLE_TIME));
    assert_eq!(due(well_since + Duration::from_millis(270)), Some(well_since + FIRST_STABLE_TIME));
    let later = well_since + FIRST_STABLE_TIME;
    assert_eq!(due(later), Some(later + FIRST_STABLE_TIME), "it was well all the time: the fault was here");

    // Others saw it fall three times, of which this node saw one.
    let thrice = once.and_one().and_one();
    let soon = well_since + Duration::from_millis(40);
    assert_eq!(due_after(thrice, soon), Some(well_since + FIRST_STABLE_TIME * 4));
}

/// What is said of `a1` at one moment, and when something changes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    counts: bool,
    returns: bool,
    is_asked_to_encapsulate: bool,
    next: Option<Now>,
}

/// What is seen of `a1`, which is heard by this way, at this time.
fn seen(fixture: &mut Fixture, kind: PathKind, encapsulated: EncapsulatingSenders, now: Now) -> Seen {
    fixture.now = now;
    let down = fixture.hears(Observer { encapsulated, ..OUTSIDER }, kind, &[UP, UP]);
    Seen {
        counts: down.is_empty(),
        returns: !fixture.failure_detector.liveness().returning.is_empty(),
        is_asked_to_encapsulate: fixture.failure_detector.asks_to_encapsulate(),
        next: fixture.failure_detector.next_deadline(),
    }
}

const fn after(now: Now, seconds: u64) -> Now {
    now.saturating_add(Duration::from_secs(seconds))
}

/// A gateway has fallen and is heard again; gives the moment at which it is to count again.
fn falls_and_recovers(fixture: &mut Fixture, kind: PathKind) -> Now {
    fixture.now += Duration::from_secs(1);
    fixture.hears(OUTSIDER, kind, &[DOWN, UP]);
    fixture.hears(OUTSIDER, kind, &[UP, UP]);
    fixture.now + FIRST_STABLE_TIME
}

/// Goes through these moments: who encapsulates, whether it counts, returns, and is asked to encapsulate then.
fn follow(fixture: &mut Fixture, kind: PathKind, moments: &[(Now, EncapsulatingSenders, [bool; 3])]) {
    for (position, &(now, encapsulated, [counts, returns, is_asked_to_encapsulate])) in moments.iter().enumerate() {
        let next = moments.get(position + 1).map(|(next, ..)| *next);
        assert_eq!(
            seen(fixture, kind, encapsulated, now),
            Seen { counts, returns, is_asked_to_encapsulate, next },
            "at {now:?}"
        );
    }
}

#[test]
fn a_gateway_of_the_own_location_returns_from_the_moment_on_for_three_seconds() {
    for encapsulated in [EncapsulatingSenders::None, EncapsulatingSenders::All] {
        let mut fixture = Fixture::new();
        let moment = falls_and_recovers(&mut fixture, PathKind::Inside);
        let moments = [
            (moment - LEAD, encapsulated, [false, false, false]),
            (moment, encapsulated, [true, true, false]),
            (after(moment, 3), encapsulated, [true, false, false]),
        ];
        follow(&mut fixture, PathKind::Inside, &moments);
    }
}

#[test]
fn a_far_gateway_is_accepted_encapsulated_and_asked_to_encapsulate_and_counts_at_the_moment_unless_all_encapsulate() {
    for encapsulated in [EncapsulatingSenders::None, EncapsulatingSenders::Some] {
        let mut fixture = Fixture::new();
        let moment = falls_and_recovers(&mut fixture, PathKind::Tunnel);
        let moments = [
            (after(fixture.now, 1), encapsulated, [false, false, false]),
            (moment - LEAD, encapsulated, [false, true, true]),
            (moment, encapsulated, [true, true, true]),
            (after(moment, 1), EncapsulatingSenders::None, [true, true, false]),
            (after(moment, 4), EncapsulatingSenders::None, [true, false, false]),
        ];
        follow(&mut fixture, PathKind::Tunnel, &moments);
    }
}

#[test]
fn where_all_encapsulate_a_far_gateway_counts_a_second_later() {
    let mut fixture = Fixture::new();
    let moment = falls_and_recovers(&mut fixture, PathKind::Tunnel);
    assert_eq!(seen(&mut fixture, PathKind::Tunnel, EncapsulatingSenders::None, moment - LEAD).next, Some(moment));
    let moments = [
        (moment - LEAD / 2, EncapsulatingSenders::All, [false, true, true]),
        (after(moment, 1), EncapsulatingSenders::All, [true, true, true]),
        (after(moment, 2), EncapsulatingSenders::None, [true, true, false]),
        (after(moment, 5), EncapsulatingSenders::None, [true, false, false]),
    ];
    follow(&mut fixture, PathKind::Tunnel, &moments);
}

#[test]
fn whoever_encapsulates_no_longer_is_not_waited_for() {
    let mut fixture = Fixture::new();
    let moment = falls_and_recovers(&mut fixture, PathKind::Tunnel);
    let half_a_second_later = moment + MOVING_TIME / 2;
    assert!(!seen(&mut fixture, PathKind::Tunnel, EncapsulatingSenders::All, half_a_second_later).counts);
    assert!(seen(&mut fixture, PathKind::Tunnel, EncapsulatingSenders::Some, half_a_second_later).counts);
}

#[test]
fn encapsulated_packets_are_accepted_as_long_as_somebody_encapsulates_for_a_minute_at_most() {
    let mut fixture = Fixture::new();
    let moment = falls_and_recovers(&mut fixture, PathKind::Tunnel);
    let moments = [
        (after(moment, 1), EncapsulatingSenders::All, [true, true, true]),
        (after(moment, 2), EncapsulatingSenders::Some, [true, true, false]),
        (after(moment, 61), EncapsulatingSenders::Some, [true, false, false]),
    ];
    follow(&mut fixture, PathKind::Tunnel, &moments);

    let mut fixture = Fixture::new();
    let moment = falls_and_recovers(&mut fixture, PathKind::Tunnel);
    seen(&mut fixture, PathKind::Tunnel, EncapsulatingSenders::All, after(moment, 1));
    assert!(seen(&mut fixture, PathKind::Tunnel, EncapsulatingSenders::All, after(moment, 31)).returns);
    let over = seen(&mut fixture, PathKind::Tunnel, EncapsulatingSenders::None, after(moment, 31));
    assert_eq!((over.returns, over.next), (false, None));
}

#[test]
fn a_gateway_that_falls_again_does_not_return_any_more() {
    for kind in [PathKind::Tunnel, PathKind::Inside] {
        for after_the_moment in [0, 1] {
            let mut fixture = Fixture::new();
            let moment = falls_and_recovers(&mut fixture, kind);
            for now in [moment, after(moment, after_the_moment)] {
                assert!(seen(&mut fixture, kind, EncapsulatingSenders::All, now).returns);
            }
            fixture.hears(OUTSIDER, kind, &[DOWN, UP]);
            assert!(fixture.failure_detector.liveness().returning.is_empty());
            assert_eq!(
                (fixture.failure_detector.asks_to_encapsulate(), fixture.failure_detector.next_deadline()),
                (false, None)
            );
        }
    }
}

#[test]
fn while_one_gateway_falls_again_others_that_return_go_on_asking() {
    let mut fixture = Fixture::new();
    fixture.hears(OUTSIDER, PathKind::Tunnel, &[DOWN, UP]);
    fixture.hears(OUTSIDER, PathKind::Tunnel, &[UP, DOWN]);
    fixture.hears(OUTSIDER, PathKind::Tunnel, &[UP, UP]);
    let soon = after(fixture.now, 9);
    assert!(seen(&mut fixture, PathKind::Tunnel, EncapsulatingSenders::All, soon).is_asked_to_encapsulate);
    fixture.hears(OUTSIDER, PathKind::Tunnel, &[DOWN, UP]);
    let returning: Vec<_> = fixture.failure_detector.liveness().returning.into_iter().collect();
    assert_eq!((returning, fixture.failure_detector.asks_to_encapsulate()), (vec![fixture.gateways[1].clone()], true));
}

#[test]
fn the_judgement_outlives_the_agent() {
    let mut fixture = Fixture::new();
    fixture.failure_detector = FailureDetector::restore(&Liveness::without(["a1".parse().unwrap()]));
    assert_eq!(fixture.after(1, &[(PathState::Unknown, DOWN.1), (PathState::Unknown, DOWN.1)]), ["a1"]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
}
