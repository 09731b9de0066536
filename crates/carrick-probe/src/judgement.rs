//! Which gateways are down.
//!
//! One rule, for every node, from what it hears itself:
//!
//! - a gateway that is silent is down, and so is one that says itself that it hears nobody on its other side (through its tunnels, for
//!   those inside its location; inside it, for those outside), while another gateway of its location does;
//! - where no gateway of a location is heard, nobody there is judged: the fault is more likely on the way, or here;
//! - it counts again after it was well for a time that doubles each time it falls. It says itself for how long it has been well, so
//!   that all nodes give it its traffic back at the same moment, or nearly.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_topology::model::Liveness;
use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use crate::Now;
use crate::packet::{Audience, Hearing};
use crate::path::PathState;

/// A gateway counts again after it was heard for this long.
const FIRST_STABLE_TIME: Duration = Duration::from_secs(10);
/// However often it falls, it counts again after this.
const LONGEST_STABLE_TIME: Duration = Duration::from_secs(300);
/// A gateway that hears nobody is believed after this: others may be about to say the same.
const DEAF_TIME: Duration = Duration::from_millis(500);
/// What a node says of its age arrives with the way's delay: differences below this mean nothing.
const WELL_TOLERANCE: Duration = Duration::from_millis(500);
/// Falls are forgotten when none has come for this long.
const FORGIVENESS: Duration = Duration::from_secs(900);

/// What is heard of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Testimony<'a> {
    pub(crate) node: &'a NodeName,
    pub(crate) location: &'a LocationName,
    pub(crate) kind: PathKind,
    pub(crate) state: PathState,
    pub(crate) hearing: Hearing,
    /// When the latest probe went out that found life.
    pub(crate) heard_from: Option<Now>,
    /// When probes went out of which none was answered.
    pub(crate) silent_from: Option<Now>,
    /// Since when it is well, as it says.
    pub(crate) well_since: Option<Now>,
    /// Since when it says that it hears nobody on its other side.
    pub(crate) deaf_since: Option<Now>,
}

impl Testimony<'_> {
    /// Whether it was silent when that other gateway was not: both may have fallen silent at the same moment, and one be noticed first.
    fn is_silent_beside(&self, other: &Testimony<'_>) -> bool {
        other.heard_from > self.silent_from
    }

    /// Whether a further word from its location may change the judgement.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.state == PathState::Down || self.deaf_since.is_some()
    }
}

/// The node that judges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judge<'a> {
    /// Where it stands, if it is a gateway there: then it speaks for its location itself.
    pub(crate) gateway_of: Option<&'a LocationName>,
    pub(crate) hearing: Hearing,
}

/// The gateways that are or were down.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    fallen: BTreeMap<NodeName, Fall>,
    judged_at: Now,
}

#[derive(Debug)]
struct Fall {
    standing: Standing,
    stable_time: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Down,
    /// Heard again, and well since then.
    Returning {
        since: Now,
    },
    /// Counts again since then.
    Live {
        since: Now,
    },
}

impl Judgement {
    /// What an earlier run of the agent had judged.
    pub(crate) fn restore(liveness: &Liveness) -> Self {
        let fall = |name: &NodeName| (name.clone(), Fall { standing: Standing::Down, stable_time: FIRST_STABLE_TIME });
        Self { fallen: liveness.down.iter().map(fall).collect(), judged_at: Now::ZERO }
    }

    pub(crate) fn liveness(&self) -> Liveness {
        let is_down = |fall: &Fall| !matches!(fall.standing, Standing::Live { .. });
        let down = self.fallen.iter().filter(|(_, fall)| is_down(fall)).map(|(name, _)| name.clone()).collect();
        Liveness { down }
    }

    /// When a gateway that returns counts again, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        let due = |fall: &Fall| match fall.standing {
            Standing::Returning { since } => Some(since + fall.stable_time),
            Standing::Down | Standing::Live { .. } => None,
        };
        // What was due already waits for a word, not for the time.
        self.fallen.values().filter_map(due).filter(|due| *due > self.judged_at).min()
    }

    /// Judges by what is heard now.
    pub(crate) fn judge(&mut self, now: Now, judge: Judge<'_>, testimonies: &[Testimony<'_>]) {
        self.judged_at = now;
        let known: BTreeSet<&NodeName> = testimonies.iter().map(|testimony| testimony.node).collect();
        self.fallen.retain(|name, fall| {
            let is_forgiven =
                matches!(fall.standing, Standing::Live { since } if now.saturating_sub(since) > FORGIVENESS);
            known.contains(name) && !is_forgiven
        });
        let mut locations: BTreeMap<&LocationName, Vec<&Testimony<'_>>> = BTreeMap::new();
        for testimony in testimonies {
            locations.entry(testimony.location).or_default().push(testimony);
        }
        for (name, gateways) in locations {
            self.judge_location(now, judge, name, &gateways);
        }
    }

    fn judge_location(&mut self, now: Now, judge: Judge<'_>, location: &LocationName, gateways: &[&Testimony<'_>]) {
        let own = (judge.gateway_of == Some(location)).then_some(judge.hearing);
        let hearings = || {
            gateways.iter().filter(|gateway| gateway.state == PathState::Up).map(|gateway| gateway.hearing).chain(own)
        };
        let somebody_hears = |side| hearings().any(|hearing| hearing.by(side) == Audience::Somebody);
        let is_deaf = |gateway: &Testimony<'_>| {
            gateway.deaf_since.is_some_and(|since| now.saturating_sub(since) >= DEAF_TIME)
                && somebody_hears(gateway.kind.other_side())
        };
        let is_heard = |gateway: &Testimony<'_>| {
            matches!(gateway.state, PathState::Up | PathState::AgentAway) && !is_deaf(gateway)
        };
        let hears_itself = |hearing: Hearing| [hearing.tunnels, hearing.inside].contains(&Audience::Somebody);
        if !gateways.iter().any(|gateway| is_heard(gateway)) && !own.is_some_and(hears_itself) {
            gateways.iter().for_each(|gateway| self.not_heard(gateway.node));
            return;
        }
        for gateway in gateways {
            let is_silent = || {
                own.is_some_and(hears_itself)
                    || gateways.iter().any(|other| is_heard(other) && gateway.is_silent_beside(other))
            };
            match gateway.state {
                PathState::Up | PathState::AgentAway if is_deaf(gateway) => self.silent(gateway.node),
                PathState::Up | PathState::AgentAway => self.heard(now, gateway),
                PathState::Down if is_silent() => self.silent(gateway.node),
                PathState::Down | PathState::Unknown => {}
            }
        }
    }

    /// One that was returning begins anew; the others stay what they are.
    fn not_heard(&mut self, node: &NodeName) {
        if let Some(fall) = self.fallen.get_mut(node)
            && matches!(fall.standing, Standing::Returning { .. })
        {
            fall.standing = Standing::Down;
        }
    }

    fn silent(&mut self, node: &NodeName) {
        let fresh = || Fall { standing: Standing::Live { since: Now::ZERO }, stable_time: FIRST_STABLE_TIME / 2 };
        let fall = self.fallen.entry(node.clone()).or_insert_with(fresh);
        if matches!(fall.standing, Standing::Live { .. }) {
            fall.stable_time = (fall.stable_time * 2).min(LONGEST_STABLE_TIME);
        }
        fall.standing = Standing::Down;
    }

    fn heard(&mut self, now: Now, gateway: &Testimony<'_>) {
        let Some(fall) = self.fallen.get_mut(gateway.node) else { return };
        fall.standing = match fall.standing {
            // One that was well all the time was cut off from here alone.
            Standing::Down => {
                let recovered = gateway.well_since.filter(|well| now.saturating_sub(*well) < fall.stable_time);
                Standing::Returning { since: recovered.unwrap_or(now) }
            }
            Standing::Returning { since } if gateway.well_since > Some(since + WELL_TOLERANCE) => {
                Standing::Returning { since: gateway.well_since.unwrap_or(since) }
            }
            Standing::Returning { since } if now.saturating_sub(since) >= fall.stable_time => {
                Standing::Live { since: now }
            }
            standing @ (Standing::Returning { .. } | Standing::Live { .. }) => standing,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARS: Hearing = Hearing { tunnels: Audience::Somebody, inside: Audience::Somebody };
    const NO_TUNNEL: Hearing = Hearing { tunnels: Audience::Nobody, inside: Audience::Somebody };
    const NOBODY_INSIDE: Hearing = Hearing { tunnels: Audience::Somebody, inside: Audience::Nobody };
    const OUTSIDER: Judge<'_> = Judge { gateway_of: None, hearing: HEARS };

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

    const UP: (PathState, Hearing) = (PathState::Up, HEARS);
    const DOWN: (PathState, Hearing) =
        (PathState::Down, Hearing { tunnels: Audience::Unknown, inside: Audience::Unknown });
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
        let standby = |hearing| Judge { gateway_of: Some(&location), hearing };
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
        let due = |heard_at: Duration| {
            let mut court = Court::new();
            court.after(1, &[DOWN, UP]);
            let testimony = |node| Testimony {
                node,
                location: &court.location,
                kind: PathKind::Tunnel,
                state: PathState::Up,
                hearing: HEARS,
                heard_from: Some(heard_at),
                silent_from: None,
                well_since: Some(well_since),
                deaf_since: None,
            };
            let testimonies: Vec<_> = court.gateways.iter().map(testimony).collect();
            court.judgement.judge(heard_at, OUTSIDER, &testimonies);
            court.judgement.next_deadline()
        };
        assert_eq!(due(well_since + Duration::from_millis(40)), Some(well_since + FIRST_STABLE_TIME));
        assert_eq!(due(well_since + Duration::from_millis(270)), Some(well_since + FIRST_STABLE_TIME));
        let later = well_since + FIRST_STABLE_TIME;
        assert_eq!(due(later), Some(later + FIRST_STABLE_TIME), "it was well all the time: the fault was here");
    }

    #[test]
    fn the_judgement_outlives_the_agent() {
        let mut court = Court::new();
        court.judgement = Judgement::restore(&Liveness { down: ["a1".parse().unwrap()].into() });
        assert_eq!(court.after(1, &[(PathState::Unknown, DOWN.1), (PathState::Unknown, DOWN.1)]), ["a1"]);
        assert_eq!(court.after(1, &[DOWN, UP]), ["a1"]);
    }
}
