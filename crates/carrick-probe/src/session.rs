//! Which probes of one other node are new.
//!
//! An attacker who reads a probe on its way can send it again. The MAC of the copy is valid, so that each node finds out by itself which probes are
//! new. Nodes share no clock and keep nothing on disk, so that the probed node chooses a number, the *session number*:
//!
//! 1. A probe without a valid session number is answered, and changes nothing else. The answer offers a number that this node never gave
//!    before.
//! 2. The first probe that repeats the offered number begins a session. It belongs to one token, that is, to one start of the other agent.
//! 3. In a session, each sequence number counts once, and no number that is lower than the lowest of the last [`REMEMBERED`] counts.
//!
//! A probe from before a start of either agent repeats no number that this node accepts. The prober sends its next probe at once when it
//! is offered a number, so that a session begins one round trip after a start.
//!
//! Sequence numbers are times: microseconds since a moment that the prober's node chose. So a node also sees that a probe of the session was
//! delayed: it is later than the quickest one by more than [`LONGEST_DELAY`]. Such a probe begins no session and changes nothing.

use std::time::Duration;

use crate::Now;
use crate::packet::{ProbeId, SessionNumber};

/// Probes of a session that are remembered one by one, because the network may change their order.
const REMEMBERED: usize = 16;
/// How much later than the quickest probe another one may be. A prober takes no answer that is later than a second.
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// Two clocks drift apart by less than this, in parts per million. NTP slews each of them by 500 at most.
const DRIFT_PPM: u32 = 2_000;
/// For how long an offered number can begin a session. A prober with a thousand targets needs 20 s to probe all of them.
const OFFER_TIME: Duration = Duration::from_secs(60);

/// What this node keeps of another node that probes it.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    session: Option<Session>,
    offer: Option<Offer>,
}

/// What a probe with a valid code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It was sent lately, and it is here for the first time. The session has this number.
    New(SessionNumber),
    /// It belongs to no session: it is from before a start of an agent, it was delayed, or the other agent has just started.
    OutOfSession,
    /// It was here before.
    Repeated,
}

#[derive(Debug)]
struct Session {
    number: SessionNumber,
    token: u64,
    seen: Seen,
    pace: Pace,
}

#[derive(Debug)]
struct Offer {
    number: SessionNumber,
    until: Now,
}

impl Inbound {
    /// What a probe is that arrives now and repeats this session number.
    pub(crate) fn take(&mut self, now: Now, id: ProbeId, number: SessionNumber) -> Freshness {
        if let Some(session) = self.session.as_mut().filter(|session| session.token == id.token) {
            if !session.seen.is_new(id.sequence) {
                return Freshness::Repeated;
            }
            if session.number == number && session.pace.permits(now, id.sequence) {
                session.seen.note(id.sequence);
                return Freshness::New(number);
            }
        }
        if self.offer.take_if(|offer| offer.number == number && now < offer.until).is_none() {
            return Freshness::OutOfSession;
        }
        let (seen, pace) = (Seen::from(id.sequence), Pace::from(now, id.sequence));
        self.session = Some(Session { number, token: id.token, seen, pace });
        Freshness::New(number)
    }

    /// The number to offer; `unused` gives one that was never given before.
    pub(crate) fn offer(&mut self, now: Now, unused: impl FnOnce() -> SessionNumber) -> SessionNumber {
        if self.offer.as_ref().is_none_or(|offer| now >= offer.until) {
            self.offer = Some(Offer { number: unused(), until: now + OFFER_TIME });
        }
        self.offer.as_ref().map_or(SessionNumber::NONE, |offer| offer.number)
    }
}

/// The sequence numbers that were here.
#[derive(Debug)]
struct Seen {
    /// All numbers up to this one count as seen.
    floor: u64,
    above: Vec<u64>,
}

impl Seen {
    const fn from(first: u64) -> Self {
        Self { floor: first, above: Vec::new() }
    }

    fn is_new(&self, sequence: u64) -> bool {
        sequence > self.floor && !self.above.contains(&sequence)
    }

    fn note(&mut self, sequence: u64) {
        self.above.push(sequence);
        if self.above.len() > REMEMBERED {
            self.above.sort_unstable();
            self.floor = self.above.remove(0);
        }
    }
}

/// The difference between this node's clock and the prober's, by the quickest probe.
#[derive(Debug)]
struct Pace {
    least_us: i128,
    at: Now,
}

impl Pace {
    fn from(now: Now, sequence: u64) -> Self {
        Self { least_us: difference_us(now, sequence), at: now }
    }

    /// Whether the probe was under way for about as long as others.
    fn permits(&mut self, now: Now, sequence: u64) -> bool {
        let drift = now.saturating_sub(self.at) * DRIFT_PPM / 1_000_000;
        let (least, this) = (self.least_us + microseconds(drift), difference_us(now, sequence));
        let permits = this <= least + microseconds(LONGEST_DELAY);
        if permits {
            (self.least_us, self.at) = (least.min(this), now);
        }
        permits
    }
}

fn difference_us(now: Now, sequence: u64) -> i128 {
    microseconds(now) - i128::from(sequence)
}

fn microseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_micros()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: u64 = 7;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// The probe that a prober sends at this time of its own clock, which is 1000 s behind.
    fn sent_at(now: Now) -> ProbeId {
        ProbeId { token: TOKEN, sequence: u64::try_from((now - Duration::from_secs(1000)).as_micros()).unwrap() }
    }

    struct Fixture {
        inbound: Inbound,
        given: u64,
        now: Now,
    }

    impl Fixture {
        fn new() -> Self {
            Self { inbound: Inbound::default(), given: 0, now: Duration::from_secs(5000) }
        }

        /// In a session that has just begun.
        fn in_session() -> (Self, SessionNumber) {
            let mut fixture = Self::new();
            let number = fixture.offer();
            assert_eq!(fixture.take(sent_at(fixture.now), number), Freshness::New(number));
            (fixture, number)
        }

        fn offer(&mut self) -> SessionNumber {
            self.inbound.offer(self.now, || {
                self.given += 1;
                SessionNumber(self.given)
            })
        }

        fn take(&mut self, id: ProbeId, number: SessionNumber) -> Freshness {
            self.inbound.take(self.now, id, number)
        }
    }

    #[test]
    fn a_session_begins_with_the_offered_number_only() {
        let mut fixture = Fixture::new();
        let id = sent_at(fixture.now);
        assert_eq!(fixture.take(id, SessionNumber::NONE), Freshness::OutOfSession);
        let number = fixture.offer();
        assert_eq!(fixture.offer(), number, "the same for all probes until it is used");
        assert_eq!(fixture.take(id, SessionNumber(99)), Freshness::OutOfSession);
        assert_eq!(fixture.take(id, number), Freshness::New(number));
        assert_ne!(fixture.offer(), number, "a number begins one session");
    }

    #[test]
    fn each_probe_of_a_session_counts_once() {
        let (mut fixture, number) = Fixture::in_session();
        let first = sent_at(fixture.now);
        assert_eq!(fixture.take(first, number), Freshness::Repeated);
        let probes: Vec<ProbeId> = (1..=20).map(|probe| sent_at(fixture.now + ms(20 * probe))).collect();
        fixture.now += ms(500);
        for probe in &probes {
            assert_eq!(fixture.take(*probe, number), Freshness::New(number));
        }
        for probe in probes.iter().chain([&first]) {
            assert_eq!(fixture.take(*probe, number), Freshness::Repeated);
            assert_eq!(fixture.take(*probe, SessionNumber::NONE), Freshness::Repeated);
        }
    }

    #[test]
    fn probes_may_arrive_in_another_order() {
        let (mut fixture, number) = Fixture::in_session();
        let probes: Vec<ProbeId> = (1..=10).map(|probe| sent_at(fixture.now + ms(20 * probe))).collect();
        fixture.now += ms(300);
        for probe in probes.iter().rev() {
            assert_eq!(fixture.take(*probe, number), Freshness::New(number));
        }
        for probe in &probes {
            assert_eq!(fixture.take(*probe, number), Freshness::Repeated);
        }
    }

    #[test]
    fn a_probe_that_was_delayed_begins_a_new_session_with_the_next_one() {
        let (mut fixture, number) = Fixture::in_session();
        let delayed = sent_at(fixture.now + ms(250));
        fixture.now += ms(250) + LONGEST_DELAY + ms(50);
        assert_eq!(fixture.take(delayed, number), Freshness::OutOfSession);
        let offered = fixture.offer();
        assert_eq!(fixture.take(sent_at(fixture.now), offered), Freshness::New(offered));
        assert_eq!(fixture.take(delayed, number), Freshness::Repeated);
    }

    #[test]
    fn a_clock_that_drifts_by_less_than_ntp_permits_changes_nothing() {
        for per_hour in [ms(3_600), ms(0)] {
            let (mut fixture, number) = Fixture::in_session();
            let begun = fixture.now;
            for minute in 1..=6_000_u32 {
                fixture.now = begun + Duration::from_secs(60) * minute;
                let id = sent_at(fixture.now - per_hour * minute / 60);
                assert_eq!(fixture.take(id, number), Freshness::New(number), "minute {minute}");
            }
        }
    }

    #[test]
    fn an_older_session_ends_when_a_newer_one_begins() {
        let (mut fixture, number) = Fixture::in_session();
        fixture.now += ms(250);
        let before = sent_at(fixture.now);
        let offered = fixture.offer();
        let restarted = ProbeId { token: 8, sequence: 1 };
        assert_eq!(fixture.take(restarted, offered), Freshness::New(offered));
        assert_eq!(fixture.take(before, number), Freshness::OutOfSession);
        assert_eq!(fixture.take(restarted, offered), Freshness::Repeated);
    }

    #[test]
    fn an_offer_ends() {
        let mut fixture = Fixture::new();
        let number = fixture.offer();
        fixture.now += OFFER_TIME;
        assert_eq!(fixture.take(sent_at(fixture.now), number), Freshness::OutOfSession);
        assert_ne!(fixture.offer(), number);
    }
}
