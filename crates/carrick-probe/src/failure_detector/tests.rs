//! The failure detector, with reports that the tests make.

use super::fixtures::{AWAY, DOWN, Fixture, HEARS, NO_PEER_IN_TUNNELS, NO_PEER_INSIDE, OUTSIDER, UP};
use carrick_topology::plan::PathKind;

use super::*;
use crate::flap_count::FIRST_STABLE_TIME;

#[test]
fn a_silent_gateway_is_down_if_another_one_answers() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
}

#[test]
fn both_gateways_of_a_silent_location_are_passed_over_after_half_a_second() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
    assert_eq!(fixture.after(1, &[DOWN, DOWN]), [""; 0]);
    let due = fixture.now + Duration::from_millis(500);
    assert_eq!(fixture.failure_detector.next_deadline(), Some(due));
    assert_eq!(fixture.after(1, &[DOWN, DOWN]), ["a1", "a2"]);
    assert_eq!(fixture.failure_detector.next_deadline(), None, "nothing is left to try");
}

#[test]
fn the_location_s_own_nodes_wait_longer() {
    let mut fixture = Fixture::new();
    let mut evaluate = |ms, heard: &[(PathState, HeardPeers)]| {
        fixture.now += Duration::from_millis(ms);
        fixture.evaluate(OUTSIDER, PathKind::Inside, heard)
    };
    evaluate(0, &[UP, UP]);
    evaluate(0, &[DOWN, DOWN]);
    assert_eq!(evaluate(1_499, &[DOWN, DOWN]), [""; 0]);
    assert_eq!(evaluate(1, &[DOWN, DOWN]), ["a1", "a2"]);
}

#[test]
fn a_location_of_which_no_gateway_has_answered_yet_is_passed_over_after_six_seconds() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.after(1, &[DOWN, DOWN]), [""; 0]);
    assert_eq!(fixture.after(5, &[DOWN, DOWN]), [""; 0]);
    assert_eq!(fixture.after(1, &[DOWN, DOWN]), ["a1", "a2"]);
}

#[test]
fn nothing_is_passed_over_while_one_gateway_may_still_answer() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[UP, UP]);
    let unknown = (PathState::Unknown, DOWN.1);
    assert_eq!(fixture.after(1, &[DOWN, unknown]), [""; 0]);
    assert_eq!(fixture.after(60, &[DOWN, unknown]), [""; 0]);
}

#[test]
fn the_first_answer_of_a_gateway_that_was_passed_over_ends_that_for_all_of_them() {
    for heard in [[DOWN, UP], [UP, DOWN], [UP, UP]] {
        let mut fixture = Fixture::new();
        fixture.after(1, &[UP, UP]);
        fixture.after(1, &[DOWN, DOWN]);
        assert_eq!(fixture.after(60, &[DOWN, DOWN]), ["a1", "a2"]);
        assert_eq!(fixture.after(1, &heard), [""; 0], "the other one may be about to answer");
        assert_eq!(fixture.after(1, &[UP, UP]), [""; 0], "without a stable time");
    }
}

#[test]
fn a_gateway_that_stays_silent_beside_one_that_came_back_is_down() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[UP, UP]);
    fixture.after(1, &[DOWN, DOWN]);
    fixture.after(1, &[DOWN, DOWN]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), [""; 0]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
}

#[test]
fn gateways_that_others_took_over_from_are_down_and_have_a_stable_time() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[UP]);
    fixture.after(1, &[DOWN]);
    assert_eq!(fixture.after(1, &[DOWN]), ["a1"]);
    let unknown = (PathState::Unknown, DOWN.1);
    assert_eq!(fixture.after(1, &[DOWN, unknown]), ["a1"], "the next one is probed");
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, UP]), ["a1"]);
    assert_eq!(fixture.after(9, &[UP, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn the_gateways_of_a_location_are_passed_over_three_times_at_most() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[UP, UP]);
    let mut passed_over = Vec::new();
    for pair in [["a1", "a2"], ["a3", "a4"], ["a5", "a6"], ["a7", "a8"]] {
        fixture.gateways = pair.map(|name| name.parse().unwrap()).to_vec();
        fixture.after(1, &[DOWN, DOWN]);
        passed_over = fixture.after(1, &[DOWN, DOWN]);
    }
    assert_eq!(passed_over, ["a1", "a2", "a3", "a4", "a5", "a6"]);
    assert_eq!(fixture.failure_detector.next_deadline(), None);
}

#[test]
fn a_gateway_whose_agent_restarts_is_not_down() {
    assert_eq!(Fixture::new().after(1, &[AWAY, UP]), [""; 0]);
}

#[test]
fn a_kernel_without_an_agent_is_no_witness_against_another_gateway() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.after(1, &[DOWN, AWAY]), [""; 0]);
    fixture.after(1, &[DOWN, UP]);
    assert_eq!(fixture.after(2, &[DOWN, UP]), ["a1"]);
}

#[test]
fn a_location_whose_agents_are_all_away_keeps_its_gateways() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
    for _ in 0..10 {
        assert_eq!(fixture.after(1, &[AWAY, AWAY]), [""; 0]);
        assert_eq!(fixture.after(1, &[DOWN, AWAY]), [""; 0]);
    }
}

#[test]
fn a_gateway_does_not_return_while_its_agent_is_away() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[AWAY, UP]), ["a1"]);
    assert_eq!(fixture.after(60, &[AWAY, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, UP]), ["a1"]);
    assert_eq!(fixture.after(11, &[UP, UP]), [""; 0]);
}

#[test]
fn a_gateway_that_said_that_it_is_isolated_is_down_while_its_agent_is_away() {
    let mut fixture = Fixture::new();
    let away = (PathState::AgentAway, NO_PEER_INSIDE);
    assert_eq!(fixture.evaluate(OUTSIDER, PathKind::Tunnel, &[away, UP]), ["a1"]);
}

#[test]
fn an_isolated_gateway_is_down() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.evaluate(OUTSIDER, PathKind::Tunnel, &[(PathState::Up, NO_PEER_INSIDE), UP]), ["a1"]);
    let mut fixture = Fixture::new();
    assert_eq!(fixture.evaluate(OUTSIDER, PathKind::Inside, &[(PathState::Up, NO_PEER_IN_TUNNELS), UP]), ["a1"]);
}

#[test]
fn a_gateway_is_isolated_only_if_it_says_so_after_another_one_has_heard_a_peer() {
    for (kind, isolated) in [(PathKind::Tunnel, NO_PEER_INSIDE), (PathKind::Inside, NO_PEER_IN_TUNNELS)] {
        let location: LocationName = "a".parse().unwrap();
        let mut fixture = Fixture::new();
        fixture.connected_since = fixture.now - ISOLATION_TIME / 2;
        let itself =
            Observer { gateway_of: Some(&location), hears_tunnels_since: Some(fixture.connected_since), ..OUTSIDER };
        let observer = if kind == PathKind::Tunnel { OUTSIDER } else { itself };
        let heard = [(PathState::Up, isolated), UP];
        assert_eq!(fixture.evaluate(observer, kind, &heard), [""; 0], "it may hear a peer by now");
        fixture.now += ISOLATION_TIME / 2;
        assert_eq!(fixture.evaluate(observer, kind, &heard), ["a1"], "it was probed since, and hears no peer");
    }
}

#[test]
fn no_gateway_is_down_if_all_of_them_are_isolated() {
    let both = [(PathState::Up, NO_PEER_IN_TUNNELS); 2];
    assert_eq!(Fixture::new().evaluate(OUTSIDER, PathKind::Inside, &both), [""; 0]);
}

#[test]
fn a_standby_gateway_that_hears_peers_finds_the_only_active_one_down() {
    let location: LocationName = "a".parse().unwrap();
    let standby = |heard_peers: HeardPeers| {
        let hears_tunnels_since = (heard_peers.tunnels == Reachability::SomePeer).then_some(Now::ZERO);
        Observer { gateway_of: Some(&location), heard_peers, hears_tunnels_since, ..OUTSIDER }
    };
    assert_eq!(Fixture::new().evaluate(standby(HEARS), PathKind::Inside, &[DOWN]), ["a1"]);
    let alone = HeardPeers { tunnels: Reachability::NoPeer, inside: Reachability::NoPeer };
    assert_eq!(
        Fixture::new().evaluate(standby(alone), PathKind::Inside, &[DOWN]),
        [""; 0],
        "this node is cut off itself"
    );
}

#[test]
fn each_flap_doubles_the_stable_time_until_the_flap_count_decays() {
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
    assert_eq!(fixture.after(10, &[UP, UP]), [""; 0], "the flap count has decayed");
}

#[test]
fn a_recovering_gateway_that_goes_down_again_starts_its_stable_time_again() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[DOWN, UP]);
    fixture.after(1, &[UP, UP]);
    fixture.after(9, &[DOWN, UP]);
    fixture.after(1, &[UP, UP]);
    assert_eq!(fixture.after(9, &[UP, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn the_silence_of_a_whole_location_restarts_a_recovery_and_leaves_no_deadline() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[DOWN, UP]);
    fixture.after(1, &[UP, UP]);
    assert!(fixture.failure_detector.next_deadline().is_some());
    fixture.after(1, &[DOWN, DOWN]);
    assert_eq!(fixture.after(60, &[DOWN, DOWN]), ["a1", "a2"]);
    assert_eq!(fixture.failure_detector.next_deadline(), None);
    fixture.after(1, &[UP, UP]);
    assert_eq!(fixture.after(9, &[UP, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn a_recovery_that_waits_for_an_answer_has_no_deadline() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[DOWN, UP]);
    fixture.after(1, &[UP, UP]);
    let unknown = (PathState::Unknown, DOWN.1);
    assert_eq!(fixture.after(11, &[unknown, UP]), ["a1"]);
    assert_eq!(fixture.failure_detector.next_deadline(), None);
    assert_eq!(fixture.after(1, &[UP, UP]), [""; 0]);
}

#[test]
fn all_nodes_find_the_same_moment_for_a_return() {
    let well_since = Duration::from_secs(2000);
    let due_after = |flap_count: FlapCount, heard_at: Duration| {
        let mut fixture = Fixture::new();
        fixture.after(1, &[DOWN, UP]);
        let report = |node| Report {
            draining_since: None,
            node,
            location: &fixture.location,
            kind: PathKind::Tunnel,
            state: PathState::Up,
            flap_count,
            counted_flaps: FlapCount::default(),
            path_use: PathUse::Unsaid,
            answered_at: Some(heard_at),
            silent_since: None,
            well_since: Some(well_since),
            isolated_since: None,
            connected_since: Some(Now::ZERO),
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
    assert_eq!(due(later), Some(later + FIRST_STABLE_TIME), "it was well all the time: this node was cut off from it");

    // Other nodes saw three flaps, of which this node saw one.
    let thrice = once.and_one().and_one();
    let soon = well_since + Duration::from_millis(40);
    assert_eq!(due_after(thrice, soon), Some(well_since + FIRST_STABLE_TIME * 4));
}

#[test]
fn gateways_that_are_down_stay_down_when_the_agent_restarts() {
    let mut fixture = Fixture::new();
    fixture.failure_detector = FailureDetector::restore(&Liveness::without(["a1".parse().unwrap()]));
    assert_eq!(fixture.after(1, &[(PathState::Unknown, DOWN.1), (PathState::Unknown, DOWN.1)]), ["a1"]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
}

#[test]
fn gateways_that_are_well_again_within_two_seconds_return_together() {
    let location: LocationName = "a".parse().unwrap();
    // A third gateway, so that not all of them are down.
    let itself = Observer { gateway_of: Some(&location), ..OUTSIDER };
    let after = |fixture: &mut Fixture, seconds, heard: &[(PathState, HeardPeers)]| {
        fixture.now += Duration::from_secs(seconds);
        fixture.evaluate(itself, PathKind::Inside, heard)
    };
    let both_down = || {
        let mut fixture = Fixture::new();
        fixture.failure_detector =
            FailureDetector::restore(&Liveness::without(["a1".parse().unwrap(), "a2".parse().unwrap()]));
        assert_eq!(after(&mut fixture, 1, &[UP, DOWN]), ["a1", "a2"]);
        fixture
    };
    let mut soon = both_down();
    after(&mut soon, 2, &[UP, UP]);
    assert_eq!(after(&mut soon, 8, &[UP, UP]), ["a1", "a2"], "the second one is due two seconds later");
    assert_eq!(soon.failure_detector.next_deadline(), Some(soon.now + Duration::from_secs(2)));
    assert_eq!(after(&mut soon, 2, &[UP, UP]), [""; 0]);
    let mut late = both_down();
    after(&mut late, 3, &[UP, UP]);
    assert_eq!(after(&mut late, 7, &[UP, UP]), ["a2"]);
    assert_eq!(after(&mut late, 3, &[UP, UP]), [""; 0]);
}

#[test]
fn a_gateway_is_live_at_once_if_all_others_are_down() {
    let mut fixture = Fixture::new();
    fixture.failure_detector =
        FailureDetector::restore(&Liveness::without(["a1".parse().unwrap(), "a2".parse().unwrap()]));
    assert_eq!(fixture.after(1, &[DOWN, DOWN]), ["a1", "a2"]);
    fixture.after(6, &[DOWN, DOWN]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1", "a2"], "the other one may be about to answer");
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
}

/// The first two gateways are passed over, and then `heard` of these and of the next one.
fn next_gateway_after_a_try(kind: PathKind, heard: [(PathState, HeardPeers); 3]) -> Vec<String> {
    let mut fixture = Fixture::new();
    fixture.gateways.push("a3".parse().unwrap());
    let mut evaluate = |heard: &[(PathState, HeardPeers)]| {
        fixture.now += Duration::from_secs(2);
        fixture.evaluate(OUTSIDER, kind, heard)
    };
    evaluate(&[UP, UP]);
    evaluate(&[DOWN, DOWN]);
    assert_eq!(evaluate(&[DOWN, DOWN]), ["a1", "a2"]);
    evaluate(&[DOWN, DOWN, DOWN]);
    assert_eq!(evaluate(&[DOWN, DOWN, DOWN]), ["a1", "a2", "a3"]);
    evaluate(&heard);
    fixture.now += Duration::from_millis(100);
    fixture.evaluate(OUTSIDER, kind, &[UP, UP, heard[2]])
}

#[test]
fn an_answer_of_a_later_try_leaves_the_earlier_ones_down() {
    assert_eq!(next_gateway_after_a_try(PathKind::Tunnel, [DOWN, DOWN, UP]), ["a1", "a2"], "a3 has taken over");
    assert_eq!(next_gateway_after_a_try(PathKind::Inside, [DOWN, DOWN, UP]), ["a1", "a2"], "a3 has tunnels");
}

#[test]
fn a_node_inside_without_tunnels_has_not_taken_over() {
    let without_tunnels = (PathState::Up, HeardPeers { tunnels: Reachability::Unknown, ..HEARS });
    assert_eq!(next_gateway_after_a_try(PathKind::Inside, [DOWN, DOWN, without_tunnels]), [""; 0]);
}

#[test]
fn a_silent_gateway_is_passed_over_for_one_whose_agent_is_away() {
    let mut fixture = Fixture::new();
    fixture.after(1, &[UP, UP]);
    fixture.after(1, &[UP, AWAY]);
    assert_eq!(fixture.after(1, &[DOWN, AWAY]), [""; 0], "a kernel without an agent is no witness");
    assert_eq!(fixture.after(1, &[DOWN, AWAY]), ["a1"]);
    assert_eq!(fixture.after(60, &[DOWN, AWAY]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, AWAY]), [""; 0]);
}

/// What this node does with a gateway that was silent for a moment, a second after its first answer: whether the gateway counts as down, and
/// whether it is bypassed. It has said this of the tunnel since then.
fn after_a_moment_of_silence(well_since: Now, path_use: PathUse) -> (bool, bool) {
    let mut fixture = Fixture::new();
    fixture.well_since = Some(well_since);
    fixture.after(1, &[UP, UP]);
    assert_eq!(fixture.after(1, &[DOWN, UP]), ["a1"]);
    assert_eq!(fixture.after(1, &[UP, UP]), ["a1"], "it has said nothing since it answers");
    fixture.path_use = path_use;
    let is_down = !fixture.after(1, &[UP, UP]).is_empty();
    let is_bypassed = !fixture.failure_detector.bypassed().is_empty();
    for (kind, is_unused) in [(PathKind::Tunnel, is_bypassed), (PathKind::Inside, is_down)] {
        let own = fixture.failure_detector.path_use(kind, &fixture.location, &fixture.gateways[0]);
        assert_eq!(own == PathUse::Unsaid, is_unused, "{kind:?}");
    }
    (is_down, is_bypassed)
}

#[test]
fn a_tunnel_that_the_other_end_uses_is_not_bypassed() {
    assert_eq!(
        after_a_moment_of_silence(Now::ZERO, PathUse::Unsaid),
        (true, true),
        "as with an agent that says nothing"
    );
    assert_eq!(after_a_moment_of_silence(Now::ZERO, PathUse::Used), (true, false), "its location does not send by it");
    assert_eq!(after_a_moment_of_silence(Now::ZERO, PathUse::UsedByLocation), (false, false));
}

#[test]
fn a_gateway_that_was_dead_has_its_stable_time_until_its_location_sends_by_it() {
    let rebooted = Duration::from_secs(1003);
    assert_eq!(after_a_moment_of_silence(rebooted, PathUse::Unsaid), (true, false));
    assert_eq!(after_a_moment_of_silence(rebooted, PathUse::Used), (true, false));
    assert_eq!(after_a_moment_of_silence(rebooted, PathUse::UsedByLocation), (false, false));
}
