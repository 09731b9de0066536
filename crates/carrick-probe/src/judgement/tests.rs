//! Judging, with testimonies made up.

use super::fall::MOVING_TIME;
use super::*;
use crate::falls::FIRST_STABLE_TIME;

const HEARS: Hearing = Hearing { tunnels: Audience::Somebody, inside: Audience::Somebody };
const NO_TUNNEL: Hearing = Hearing { tunnels: Audience::Nobody, inside: Audience::Somebody };
const NOBODY_INSIDE: Hearing = Hearing { tunnels: Audience::Somebody, inside: Audience::Nobody };
const OUTSIDER: Judge<'_> = Judge {
    gateway_of: None,
    hearing: HEARS,
    hears_tunnels_since: Some(Now::ZERO),
    packed: Packed::Nobody,
    lead: LEAD,
};
const LEAD: Duration = Duration::from_secs(2);

struct Court {
    judgement: Judgement,
    location: LocationName,
    gateways: [NodeName; 2],
    now: Now,
    /// Since when those hear somebody on their other side that do.
    hears_since: Now,
}

impl Court {
    fn new() -> Self {
        Self {
            judgement: Judgement::default(),
            location: "a".parse().unwrap(),
            gateways: ["a1".parse().unwrap(), "a2".parse().unwrap()],
            now: Duration::from_secs(1000),
            hears_since: Now::ZERO,
        }
    }

    fn hears(&mut self, judge: Judge<'_>, kind: PathKind, heard: &[(PathState, Hearing)]) -> Vec<String> {
        let now = self.now;
        let testimony = |(node, (state, hearing)): (_, (PathState, Hearing))| Testimony {
            node,
            location: &self.location,
            kind,
            state,
            falls: Falls::default(),
            heard_from: (state == PathState::Up).then_some(now),
            silent_from: (state == PathState::Down).then_some(now - DEAF_TIME),
            well_since: None,
            deaf_since: [hearing.tunnels, hearing.inside].contains(&Audience::Nobody).then_some(now - DEAF_TIME),
            hears_since: (hearing.by(kind.other_side()) == Audience::Somebody).then_some(self.hears_since),
        };
        let testimonies: Vec<_> = self.gateways.iter().zip(heard.iter().copied()).map(testimony).collect();
        self.judgement.judge(self.now, judge, &testimonies);
        self.judgement.liveness().down.iter().map(ToString::to_string).collect()
    }

    fn after(&mut self, seconds: u64, heard: &[(PathState, Hearing)]) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        self.hears(OUTSIDER, PathKind::Tunnel, heard)
    }
}

const UP: (PathState, Hearing) = (PathState::Up, HEARS);
const DOWN: (PathState, Hearing) = (PathState::Down, Hearing { tunnels: Audience::Unknown, inside: Audience::Unknown });
const AWAY: (PathState, Hearing) = (PathState::AgentAway, DOWN.1);

#[test]
fn a_silent_gateway_is_down_if_another_one_is_heard() {
    let mut court = Court::new();
    assert_eq!(court.after(1, &[UP, UP]), [""; 0]);
    assert_eq!(court.after(1, &[DOWN, UP]), ["a1"]);
}

#[test]
fn silence_of_a_whole_location_judges_nobody() {
    let mut court = Court::new();
    assert_eq!(court.after(1, &[DOWN, DOWN]), [""; 0]);
    assert_eq!(court.after(1, &[DOWN, (PathState::Unknown, DOWN.1)]), [""; 0]);
    assert_eq!(court.after(1, &[DOWN, UP]), ["a1"]);
    assert_eq!(court.after(1, &[DOWN, DOWN]), ["a1"], "and acquits nobody");
}

#[test]
fn a_gateway_whose_agent_is_away_is_not_down() {
    assert_eq!(Court::new().after(1, &[AWAY, UP]), [""; 0]);
}

#[test]
fn a_gateway_that_hears_nobody_on_its_other_side_is_down() {
    let mut court = Court::new();
    assert_eq!(court.hears(OUTSIDER, PathKind::Tunnel, &[(PathState::Up, NOBODY_INSIDE), UP]), ["a1"]);
    let mut court = Court::new();
    assert_eq!(court.hears(OUTSIDER, PathKind::Inside, &[(PathState::Up, NO_TUNNEL), UP]), ["a1"]);
}

#[test]
fn what_a_gateway_said_before_another_one_heard_anybody_is_not_held_against_it() {
    for (kind, deaf) in [(PathKind::Tunnel, NOBODY_INSIDE), (PathKind::Inside, NO_TUNNEL)] {
        let location: LocationName = "a".parse().unwrap();
        let mut court = Court::new();
        court.hears_since = court.now - DEAF_TIME / 2;
        let itself = Judge { gateway_of: Some(&location), hears_tunnels_since: Some(court.hears_since), ..OUTSIDER };
        let judge = if kind == PathKind::Tunnel { OUTSIDER } else { itself };
        let heard = [(PathState::Up, deaf), UP];
        assert_eq!(court.hears(judge, kind, &heard), [""; 0], "it may hear somebody by now");
        court.now += DEAF_TIME / 2;
        assert_eq!(court.hears(judge, kind, &heard), ["a1"], "it was asked since, and hears nobody");
    }
}

#[test]
fn where_nobody_hears_the_other_side_nobody_is_to_blame() {
    let both = [(PathState::Up, NO_TUNNEL); 2];
    assert_eq!(Court::new().hears(OUTSIDER, PathKind::Inside, &both), [""; 0]);
}

#[test]
fn a_standby_gateway_that_hears_others_judges_the_only_active_one() {
    let location: LocationName = "a".parse().unwrap();
    let standby = |hearing: Hearing| {
        let hears_tunnels_since = (hearing.tunnels == Audience::Somebody).then_some(Now::ZERO);
        Judge { gateway_of: Some(&location), hearing, hears_tunnels_since, ..OUTSIDER }
    };
    assert_eq!(Court::new().hears(standby(HEARS), PathKind::Inside, &[DOWN]), ["a1"]);
    let alone = Hearing { tunnels: Audience::Nobody, inside: Audience::Nobody };
    assert_eq!(Court::new().hears(standby(alone), PathKind::Inside, &[DOWN]), [""; 0], "it is cut off itself");
}

#[test]
fn each_fall_doubles_the_time_until_a_gateway_counts_again() {
    let mut court = Court::new();
    for stable in [10, 20, 40, 80, 160, 300, 300] {
        assert_eq!(court.after(1, &[DOWN, UP]), ["a1"]);
        assert_eq!(court.after(1, &[UP, UP]), ["a1"]);
        assert_eq!(court.judgement.next_deadline(), Some(after(court.now, stable) - LEAD));
        assert_eq!(court.after(stable - 1, &[UP, UP]), ["a1"]);
        assert_eq!(court.judgement.next_deadline(), Some(after(court.now, 1)));
        assert_eq!(court.after(1, &[UP, UP]), [""; 0]);
    }
    assert_eq!(court.after(901, &[UP, UP]), [""; 0]);
    assert_eq!(court.after(1, &[DOWN, UP]), ["a1"]);
    court.after(1, &[UP, UP]);
    assert_eq!(court.after(10, &[UP, UP]), [""; 0], "forgiven");
}

#[test]
fn a_gateway_that_falls_while_it_returns_starts_anew() {
    let mut court = Court::new();
    court.after(1, &[DOWN, UP]);
    court.after(1, &[UP, UP]);
    court.after(9, &[DOWN, UP]);
    court.after(1, &[UP, UP]);
    assert_eq!(court.after(9, &[UP, UP]), ["a1"]);
    assert_eq!(court.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn silence_of_all_makes_a_returning_gateway_begin_anew_and_leaves_nothing_due() {
    let mut court = Court::new();
    court.after(1, &[DOWN, UP]);
    court.after(1, &[UP, UP]);
    assert!(court.judgement.next_deadline().is_some());
    assert_eq!(court.after(60, &[DOWN, DOWN]), ["a1"]);
    assert_eq!(court.judgement.next_deadline(), None);
    court.after(1, &[UP, UP]);
    assert_eq!(court.after(9, &[UP, UP]), ["a1"]);
    assert_eq!(court.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn what_is_due_and_waits_for_a_word_is_no_deadline() {
    let mut court = Court::new();
    court.after(1, &[DOWN, UP]);
    court.after(1, &[UP, UP]);
    let unknown = (PathState::Unknown, DOWN.1);
    assert_eq!(court.after(11, &[unknown, UP]), ["a1"]);
    assert_eq!(court.judgement.next_deadline(), None);
    assert_eq!(court.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn all_give_a_gateway_its_traffic_back_at_one_moment() {
    let well_since = Duration::from_secs(2000);
    let due_after = |falls: Falls, heard_at: Duration| {
        let mut court = Court::new();
        court.after(1, &[DOWN, UP]);
        let testimony = |node| Testimony {
            node,
            location: &court.location,
            kind: PathKind::Tunnel,
            state: PathState::Up,
            falls,
            heard_from: Some(heard_at),
            silent_from: None,
            well_since: Some(well_since),
            deaf_since: None,
            hears_since: Some(Now::ZERO),
        };
        let testimonies: Vec<_> = court.gateways.iter().map(testimony).collect();
        court.judgement.judge(heard_at, Judge { lead: Duration::ZERO, ..OUTSIDER }, &testimonies);
        court.judgement.next_deadline()
    };
    let once = Falls::default().and_one();
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
    is_asked_to_pack: bool,
    next: Option<Now>,
}

/// What is seen of `a1`, which is heard by this way, at this time.
fn seen(court: &mut Court, kind: PathKind, packed: Packed, now: Now) -> Seen {
    court.now = now;
    let down = court.hears(Judge { packed, ..OUTSIDER }, kind, &[UP, UP]);
    Seen {
        counts: down.is_empty(),
        returns: !court.judgement.liveness().returning.is_empty(),
        is_asked_to_pack: court.judgement.asks_to_pack(),
        next: court.judgement.next_deadline(),
    }
}

const fn after(now: Now, seconds: u64) -> Now {
    now.saturating_add(Duration::from_secs(seconds))
}

/// A gateway has fallen and is heard again; gives the moment at which it is to count again.
fn falls_and_recovers(court: &mut Court, kind: PathKind) -> Now {
    court.now += Duration::from_secs(1);
    court.hears(OUTSIDER, kind, &[DOWN, UP]);
    court.hears(OUTSIDER, kind, &[UP, UP]);
    court.now + FIRST_STABLE_TIME
}

/// Goes through these moments: who packs, whether it counts, returns, and is asked to pack then.
fn follow(court: &mut Court, kind: PathKind, moments: &[(Now, Packed, [bool; 3])]) {
    for (position, &(now, packed, [counts, returns, is_asked_to_pack])) in moments.iter().enumerate() {
        let next = moments.get(position + 1).map(|(next, ..)| *next);
        assert_eq!(seen(court, kind, packed, now), Seen { counts, returns, is_asked_to_pack, next }, "at {now:?}");
    }
}

#[test]
fn a_gateway_of_the_own_location_returns_from_the_moment_on_for_three_seconds() {
    for packed in [Packed::Nobody, Packed::All] {
        let mut court = Court::new();
        let moment = falls_and_recovers(&mut court, PathKind::Inside);
        let moments = [
            (moment - LEAD, packed, [false, false, false]),
            (moment, packed, [true, true, false]),
            (after(moment, 3), packed, [true, false, false]),
        ];
        follow(&mut court, PathKind::Inside, &moments);
    }
}

#[test]
fn a_far_gateway_is_accepted_packed_and_asked_to_pack_and_counts_at_the_moment_unless_all_pack() {
    for packed in [Packed::Nobody, Packed::Some] {
        let mut court = Court::new();
        let moment = falls_and_recovers(&mut court, PathKind::Tunnel);
        let moments = [
            (after(court.now, 1), packed, [false, false, false]),
            (moment - LEAD, packed, [false, true, true]),
            (moment, packed, [true, true, true]),
            (after(moment, 1), Packed::Nobody, [true, true, false]),
            (after(moment, 4), Packed::Nobody, [true, false, false]),
        ];
        follow(&mut court, PathKind::Tunnel, &moments);
    }
}

#[test]
fn where_all_pack_a_far_gateway_counts_a_second_later() {
    let mut court = Court::new();
    let moment = falls_and_recovers(&mut court, PathKind::Tunnel);
    assert_eq!(seen(&mut court, PathKind::Tunnel, Packed::Nobody, moment - LEAD).next, Some(moment));
    let moments = [
        (moment - LEAD / 2, Packed::All, [false, true, true]),
        (after(moment, 1), Packed::All, [true, true, true]),
        (after(moment, 2), Packed::Nobody, [true, true, false]),
        (after(moment, 5), Packed::Nobody, [true, false, false]),
    ];
    follow(&mut court, PathKind::Tunnel, &moments);
}

#[test]
fn whoever_packs_no_longer_is_not_waited_for() {
    let mut court = Court::new();
    let moment = falls_and_recovers(&mut court, PathKind::Tunnel);
    let half_a_second_later = moment + MOVING_TIME / 2;
    assert!(!seen(&mut court, PathKind::Tunnel, Packed::All, half_a_second_later).counts);
    assert!(seen(&mut court, PathKind::Tunnel, Packed::Some, half_a_second_later).counts);
}

#[test]
fn packed_packets_are_accepted_as_long_as_somebody_packs_for_a_minute_at_most() {
    let mut court = Court::new();
    let moment = falls_and_recovers(&mut court, PathKind::Tunnel);
    let moments = [
        (after(moment, 1), Packed::All, [true, true, true]),
        (after(moment, 2), Packed::Some, [true, true, false]),
        (after(moment, 61), Packed::Some, [true, false, false]),
    ];
    follow(&mut court, PathKind::Tunnel, &moments);

    let mut court = Court::new();
    let moment = falls_and_recovers(&mut court, PathKind::Tunnel);
    seen(&mut court, PathKind::Tunnel, Packed::All, after(moment, 1));
    assert!(seen(&mut court, PathKind::Tunnel, Packed::All, after(moment, 31)).returns);
    let over = seen(&mut court, PathKind::Tunnel, Packed::Nobody, after(moment, 31));
    assert_eq!((over.returns, over.next), (false, None));
}

#[test]
fn a_gateway_that_falls_again_does_not_return_any_more() {
    for kind in [PathKind::Tunnel, PathKind::Inside] {
        for after_the_moment in [0, 1] {
            let mut court = Court::new();
            let moment = falls_and_recovers(&mut court, kind);
            for now in [moment, after(moment, after_the_moment)] {
                assert!(seen(&mut court, kind, Packed::All, now).returns);
            }
            court.hears(OUTSIDER, kind, &[DOWN, UP]);
            assert!(court.judgement.liveness().returning.is_empty());
            assert_eq!((court.judgement.asks_to_pack(), court.judgement.next_deadline()), (false, None));
        }
    }
}

#[test]
fn while_one_gateway_falls_again_others_that_return_go_on_asking() {
    let mut court = Court::new();
    court.hears(OUTSIDER, PathKind::Tunnel, &[DOWN, UP]);
    court.hears(OUTSIDER, PathKind::Tunnel, &[UP, DOWN]);
    court.hears(OUTSIDER, PathKind::Tunnel, &[UP, UP]);
    let soon = after(court.now, 9);
    assert!(seen(&mut court, PathKind::Tunnel, Packed::All, soon).is_asked_to_pack);
    court.hears(OUTSIDER, PathKind::Tunnel, &[DOWN, UP]);
    let returning: Vec<_> = court.judgement.liveness().returning.into_iter().collect();
    assert_eq!((returning, court.judgement.asks_to_pack()), (vec![court.gateways[1].clone()], true));
}

#[test]
fn the_judgement_outlives_the_agent() {
    let mut court = Court::new();
    court.judgement = Judgement::restore(&Liveness::without(["a1".parse().unwrap()]));
    assert_eq!(court.after(1, &[(PathState::Unknown, DOWN.1), (PathState::Unknown, DOWN.1)]), ["a1"]);
    assert_eq!(court.after(1, &[DOWN, UP]), ["a1"]);
}
