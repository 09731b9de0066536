//! The failure detector, given reports of our own making.

use super::fixtures::{AWAY, DOWN, Fixture, HEARS, NO_TUNNEL, NOBODY_INSIDE, OUTSIDER, UP};
use super::*;
use crate::flap_count::FIRST_STABLE_TIME;

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
        let due = fixture.now + Duration::from_secs(stable);
        assert_eq!(fixture.failure_detector.next_deadline(), Some(due));
        assert_eq!(fixture.after(stable - 1, &[UP, UP]), ["a1"]);
        assert_eq!(fixture.failure_detector.next_deadline(), Some(due));
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
        fixture.failure_detector.evaluate(heard_at, OUTSIDER, &reports);
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

#[test]
fn the_judgement_outlives_the_agent() {
    let mut fixture = Fixture::new();
    fixture.failure_detector = FailureDetector::restore(&["a1".parse().unwrap()]);
    assert_eq!(fixture.after(1, &[(PathState::Unknown, DOWN.1), (PathState::Unknown, DOWN.1)]), ["a1"]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
}
