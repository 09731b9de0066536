//! The returns of gateways, from the failure detector's decisions to what gateways tell each other.

use std::time::Duration;

use carrick_topology::handover::HandoverInForce;
use carrick_topology::plan::PathKind;

use super::schedule::{EncapsulatingSenders, MOVING_TIME, Schedule};
use super::{HandoverFlags, Handovers};
use crate::Now;
use crate::failure_detector::Observer;
use crate::failure_detector::fixtures::{DOWN, Fixture, OUTSIDER, UP};
use crate::flap_count::FIRST_STABLE_TIME;

const LEAD: Duration = Duration::from_secs(2);

/// What holds of `a1` at one moment, and when something changes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    is_live: bool,
    is_returning: bool,
    is_asked_to_encapsulate: bool,
    next: Option<Now>,
}

/// A failure detector and the handovers that follow from it, on a node that decapsulates what `a1` and `a2` send.
struct Returns {
    fixture: Fixture,
    handovers: Handovers,
}

impl Returns {
    fn new() -> Self {
        let fixture = Fixture::new();
        let mut handovers = Handovers::default();
        let decapsulates_from = fixture.gateways.iter().cloned().collect();
        assert!(handovers.set_in_force(HandoverInForce { decapsulates_from, ..HandoverInForce::default() }));
        Self { fixture, handovers }
    }

    /// The same with `a1` down and heard again; gives the moment at which `a1` is to be live again.
    fn of_a1(kind: PathKind) -> (Self, Now) {
        let mut returns = Self::new();
        returns.fixture.now += Duration::from_secs(1);
        returns.hear(kind, EncapsulatingSenders::None, &[DOWN, UP]);
        returns.hear(kind, EncapsulatingSenders::None, &[UP, UP]);
        let moment = returns.fixture.now + FIRST_STABLE_TIME;
        (returns, moment)
    }

    fn hear(
        &mut self,
        kind: PathKind,
        senders: EncapsulatingSenders,
        heard: &[(crate::PathState, crate::HeardPeers)],
    ) -> Seen {
        self.handovers.schedule = Schedule { senders, lead: LEAD };
        let far_delay = self.handovers.far_delay();
        let down = self.fixture.evaluate(Observer { far_delay, ..OUTSIDER }, kind, heard);
        self.handovers.evaluate(self.fixture.now, self.fixture.failure_detector.moves());
        let a1 = &self.fixture.gateways[0];
        Seen {
            is_live: !down.contains(&a1.to_string()),
            is_returning: self.handovers.returning().contains(a1),
            is_asked_to_encapsulate: self.handovers.flags_for(a1) == HandoverFlags::DECAPSULATES,
            next: [self.fixture.failure_detector.next_deadline(), self.handovers.next_deadline()]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    /// What holds while both gateways are heard.
    fn at(&mut self, now: Now, kind: PathKind, senders: EncapsulatingSenders) -> Seen {
        self.fixture.now = now;
        self.hear(kind, senders, &[UP, UP])
    }

    /// Goes through these moments: how many gateways encapsulate, and whether `a1` is live, is returning, and is asked to encapsulate
    /// then. Each is the next deadline of the one before.
    fn follow(&mut self, kind: PathKind, moments: &[(Now, EncapsulatingSenders, [bool; 3])]) {
        for (position, &(now, senders, [is_live, is_returning, is_asked_to_encapsulate])) in moments.iter().enumerate()
        {
            let next = moments.get(position + 1).map(|(next, ..)| *next);
            let expected = Seen { is_live, is_returning, is_asked_to_encapsulate, next };
            assert_eq!(self.at(now, kind, senders), expected, "at {now:?}");
        }
    }
}

const fn after(now: Now, seconds: u64) -> Now {
    now.saturating_add(Duration::from_secs(seconds))
}

#[test]
fn a_gateway_of_the_own_location_is_returning_for_three_seconds_from_the_moment_on() {
    for senders in [EncapsulatingSenders::None, EncapsulatingSenders::All] {
        let (mut returns, moment) = Returns::of_a1(PathKind::Inside);
        let moments = [
            (moment - LEAD, senders, [false, false, false]),
            (moment, senders, [true, true, false]),
            (after(moment, 3), senders, [true, false, false]),
        ];
        returns.follow(PathKind::Inside, &moments);
    }
}

#[test]
fn a_far_gateway_is_live_at_the_moment_unless_all_senders_encapsulate() {
    for senders in [EncapsulatingSenders::None, EncapsulatingSenders::Some] {
        let (mut returns, moment) = Returns::of_a1(PathKind::Tunnel);
        let moments = [
            (after(returns.fixture.now, 1), senders, [false, false, false]),
            (moment - LEAD, senders, [false, true, true]),
            (moment, senders, [true, true, true]),
            (after(moment, 1), EncapsulatingSenders::None, [true, true, false]),
            (after(moment, 4), EncapsulatingSenders::None, [true, false, false]),
        ];
        returns.follow(PathKind::Tunnel, &moments);
    }
}

#[test]
fn a_far_gateway_is_live_a_second_after_the_moment_where_all_senders_encapsulate() {
    let (mut returns, moment) = Returns::of_a1(PathKind::Tunnel);
    assert_eq!(returns.at(moment - LEAD, PathKind::Tunnel, EncapsulatingSenders::None).next, Some(moment));
    let moments = [
        (moment - LEAD / 2, EncapsulatingSenders::All, [false, true, true]),
        (after(moment, 1), EncapsulatingSenders::All, [true, true, true]),
        (after(moment, 2), EncapsulatingSenders::None, [true, true, false]),
        (after(moment, 5), EncapsulatingSenders::None, [true, false, false]),
    ];
    returns.follow(PathKind::Tunnel, &moments);
}

#[test]
fn a_sender_that_stops_to_encapsulate_ends_the_delay() {
    let (mut returns, moment) = Returns::of_a1(PathKind::Tunnel);
    let half_a_second_later = moment + MOVING_TIME / 2;
    assert!(!returns.at(half_a_second_later, PathKind::Tunnel, EncapsulatingSenders::All).is_live);
    assert!(returns.at(half_a_second_later, PathKind::Tunnel, EncapsulatingSenders::Some).is_live);
}

#[test]
fn encapsulated_packets_are_accepted_while_a_gateway_encapsulates_for_a_minute_at_most() {
    let (mut returns, moment) = Returns::of_a1(PathKind::Tunnel);
    let moments = [
        (after(moment, 1), EncapsulatingSenders::All, [true, true, true]),
        (after(moment, 2), EncapsulatingSenders::Some, [true, true, false]),
        (after(moment, 61), EncapsulatingSenders::Some, [true, false, false]),
    ];
    returns.follow(PathKind::Tunnel, &moments);

    let (mut returns, moment) = Returns::of_a1(PathKind::Tunnel);
    returns.at(after(moment, 1), PathKind::Tunnel, EncapsulatingSenders::All);
    assert!(returns.at(after(moment, 31), PathKind::Tunnel, EncapsulatingSenders::All).is_returning);
    let over = returns.at(after(moment, 31), PathKind::Tunnel, EncapsulatingSenders::None);
    assert_eq!((over.is_returning, over.next), (false, None));
}

#[test]
fn a_gateway_that_goes_down_again_is_not_returning_any_more() {
    for kind in [PathKind::Tunnel, PathKind::Inside] {
        for after_the_moment in [0, 1] {
            let (mut returns, moment) = Returns::of_a1(kind);
            for now in [moment, after(moment, after_the_moment)] {
                assert!(returns.at(now, kind, EncapsulatingSenders::All).is_returning);
            }
            let seen = returns.hear(kind, EncapsulatingSenders::All, &[DOWN, UP]);
            let nothing = Seen { is_live: false, is_returning: false, is_asked_to_encapsulate: false, next: None };
            assert_eq!(seen, nothing);
        }
    }
}

#[test]
fn other_gateways_that_return_are_asked_on_while_one_goes_down_again() {
    let mut returns = Returns::new();
    for heard in [[DOWN, UP], [UP, DOWN], [UP, UP]] {
        returns.hear(PathKind::Tunnel, EncapsulatingSenders::None, &heard);
    }
    let soon = after(returns.fixture.now, 9);
    assert!(returns.at(soon, PathKind::Tunnel, EncapsulatingSenders::All).is_asked_to_encapsulate);
    returns.hear(PathKind::Tunnel, EncapsulatingSenders::All, &[DOWN, UP]);
    let a2 = &returns.fixture.gateways[1];
    assert_eq!(returns.handovers.returning().iter().collect::<Vec<_>>(), [a2]);
    assert_eq!(returns.handovers.flags_for(a2), HandoverFlags::DECAPSULATES);
}

#[test]
fn a_gateway_that_was_asked_is_asked_until_a_moment_that_is_postponed() {
    let (mut returns, moment) = Returns::of_a1(PathKind::Tunnel);
    let begins = moment - LEAD;
    assert!(returns.at(begins, PathKind::Tunnel, EncapsulatingSenders::None).is_asked_to_encapsulate);
    returns.fixture.well_since = Some(moment - FIRST_STABLE_TIME + Duration::from_secs(4));
    let seen = returns.at(begins, PathKind::Tunnel, EncapsulatingSenders::None);
    assert_eq!((seen.is_live, seen.is_asked_to_encapsulate, seen.next), (false, true, Some(after(moment, 4))));
    let before = after(moment, 3);
    assert!(!returns.at(before, PathKind::Tunnel, EncapsulatingSenders::None).is_live);
    assert!(returns.at(after(moment, 4), PathKind::Tunnel, EncapsulatingSenders::None).is_live);
}
