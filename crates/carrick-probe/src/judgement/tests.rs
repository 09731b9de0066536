//! Judging, with testimonies made up.

use super::*;

const HEARS: Hearing = Hearing { tunnels: Audience::Somebody, inside: Audience::Somebody };
const NO_TUNNEL: Hearing = Hearing { tunnels: Audience::Nobody, inside: Audience::Somebody };
const NOBODY_INSIDE: Hearing = Hearing { tunnels: Audience::Somebody, inside: Audience::Nobody };
const OUTSIDER: Judge<'_> = Judge { gateway_of: None, hearing: HEARS, copying: Copying::No, lead: LEAD };
const LEAD: Duration = Duration::from_secs(2);

struct Court {
    judgement: Judgement,
    location: LocationName,
    gateways: [NodeName; 2],
    now: Now,
}

impl Court {
    fn new() -> Self {
        Self {
            judgement: Judgement::default(),
            location: "a".parse().unwrap(),
            gateways: ["a1".parse().unwrap(), "a2".parse().unwrap()],
            now: Duration::from_secs(1000),
        }
    }

    fn hears(&mut self, judge: Judge<'_>, kind: PathKind, heard: &[(PathState, Hearing)]) -> Vec<String> {
        let now = self.now;
        let testimony = |(node, (state, hearing)): (_, (PathState, Hearing))| Testimony {
            node,
            location: &self.location,
            kind,
            state,
            hearing,
            falls: Falls::default(),
            heard_from: (state == PathState::Up).then_some(now),
            silent_from: (state == PathState::Down).then_some(now - DEAF_TIME),
            well_since: None,
            deaf_since: [hearing.tunnels, hearing.inside].contains(&Audience::Nobody).then_some(now - DEAF_TIME),
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

const FIRST_STABLE_TIME: Duration = Duration::from_secs(10);
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
fn where_nobody_hears_the_other_side_nobody_is_to_blame() {
    let both = [(PathState::Up, NO_TUNNEL); 2];
    assert_eq!(Court::new().hears(OUTSIDER, PathKind::Inside, &both), [""; 0]);
}

#[test]
fn a_standby_gateway_that_hears_others_judges_the_only_active_one() {
    let location: LocationName = "a".parse().unwrap();
    let standby = |hearing| Judge { gateway_of: Some(&location), hearing, ..OUTSIDER };
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
        assert_eq!(court.judgement.next_deadline(), Some(court.now + Duration::from_secs(stable)));
        assert_eq!(court.after(stable - 1, &[UP, UP]), ["a1"]);
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
            hearing: HEARS,
            falls,
            heard_from: Some(heard_at),
            silent_from: None,
            well_since: Some(well_since),
            deaf_since: None,
        };
        let testimonies: Vec<_> = court.gateways.iter().map(testimony).collect();
        court.judgement.judge(heard_at, OUTSIDER, &testimonies);
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

fn returning(court: &Court) -> Vec<String> {
    court.judgement.liveness().returning.iter().map(ToString::to_string).collect()
}

/// A gateway of the own location has fallen and is heard again; gives the moment at which it counts again for others.
fn falls_and_recovers(court: &mut Court, judge: Judge<'_>) -> Now {
    court.now += Duration::from_secs(1);
    court.hears(judge, PathKind::Inside, &[DOWN, UP]);
    court.hears(judge, PathKind::Inside, &[UP, UP]);
    court.now + FIRST_STABLE_TIME
}

#[test]
fn a_gateway_of_the_own_location_returns_from_a_little_before_the_moment_until_a_little_after() {
    let mut court = Court::new();
    let moment = falls_and_recovers(&mut court, OUTSIDER);
    assert_eq!((returning(&court), court.judgement.next_deadline()), (vec![], Some(moment - LEAD)));
    for (now, down, returns, next) in [
        (moment - LEAD, true, true, Some(moment)),
        (moment, false, true, Some(moment + COPIED_TIME)),
        (moment + COPIED_TIME, false, false, None),
    ] {
        court.now = now;
        assert_eq!(court.hears(OUTSIDER, PathKind::Inside, &[UP, UP]).is_empty(), !down, "{now:?}");
        assert_eq!((!returning(&court).is_empty(), court.judgement.next_deadline()), (returns, next), "{now:?}");
    }
}

#[test]
fn whoever_is_copied_for_changes_over_after_the_others() {
    let copied = Judge { copying: Copying::Yes, ..OUTSIDER };
    let mut court = Court::new();
    let moment = falls_and_recovers(&mut court, OUTSIDER);
    for (now, judge, down) in [
        (moment - LEAD, OUTSIDER, true),
        // The word came after the last judgement.
        (moment, copied, true),
        (moment + COPIED_TIME, copied, false),
    ] {
        court.now = now;
        assert_eq!(court.hears(judge, PathKind::Inside, &[UP, UP]).is_empty(), !down, "{now:?}");
    }
    let end = court.judgement.next_deadline();
    assert_eq!(end, Some(moment + COPIED_TIME * 2), "and the copies go on until all have");
    let mut abroad = Court::new();
    abroad.hears(copied, PathKind::Tunnel, &[DOWN, UP]);
    abroad.hears(copied, PathKind::Tunnel, &[UP, UP]);
    abroad.now += FIRST_STABLE_TIME;
    assert_eq!(abroad.hears(copied, PathKind::Tunnel, &[UP, UP]), [""; 0], "others wait for nobody");
}

#[test]
fn copies_that_end_early_are_not_waited_for() {
    let mut court = Court::new();
    let moment = falls_and_recovers(&mut court, OUTSIDER);
    court.now = moment;
    assert_eq!(court.hears(Judge { copying: Copying::Yes, ..OUTSIDER }, PathKind::Inside, &[UP, UP]), ["a1"]);
    assert_eq!(court.hears(OUTSIDER, PathKind::Inside, &[UP, UP]), [""; 0]);
}

#[test]
fn a_gateway_that_falls_again_does_not_return_any_more() {
    for moments_later in [Duration::ZERO, LEAD + COPIED_TIME / 2] {
        let mut court = Court::new();
        let moment = falls_and_recovers(&mut court, OUTSIDER);
        for now in [moment - LEAD, moment - LEAD + moments_later] {
            court.now = now;
            court.hears(OUTSIDER, PathKind::Inside, &[UP, UP]);
            assert_eq!(returning(&court), ["a1"]);
        }
        court.hears(OUTSIDER, PathKind::Inside, &[DOWN, UP]);
        assert_eq!((returning(&court), court.judgement.next_deadline()), (vec![], None));
    }
}

#[test]
fn those_of_other_locations_never_return() {
    let mut court = Court::new();
    assert_eq!(court.after(1, &[DOWN, UP]), ["a1"]);
    for _ in 0..24 {
        court.now += Duration::from_millis(500);
        court.hears(OUTSIDER, PathKind::Tunnel, &[UP, UP]);
        assert_eq!(returning(&court), [""; 0]);
    }
}

#[test]
fn the_judgement_outlives_the_agent() {
    let mut court = Court::new();
    court.judgement = Judgement::restore(&Liveness::without(["a1".parse().unwrap()]));
    assert_eq!(court.after(1, &[(PathState::Unknown, DOWN.1), (PathState::Unknown, DOWN.1)]), ["a1"]);
    assert_eq!(court.after(1, &[DOWN, UP]), ["a1"]);
}
