//! Which gateways are down.
//!
//! One rule, for every node, from what it hears itself:
//!
//! - a gateway that is silent is down, and so is one that says itself that it hears nobody on its other side (through its tunnels, for
//!   those inside its location; inside it, for those outside), while another gateway of its location does;
//! - where no gateway of a location is heard, nobody there is judged: the fault is more likely on the way, or here;
//! - it counts again after it was well for a time that doubles each time it falls. It says itself for how long it has been well, and
//!   how many falls those count who count the most, so that all nodes give it its traffic back at the same moment, or nearly;
//! - around that moment it is returning: far gateways, for those that forward from its location, accept packed packets as well, and ask
//!   for them; in its own location, whoever stood by keeps its tunnels. The moments of that are told in the module `fall`.

mod fall;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_topology::model::Liveness;
use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use crate::Now;
use crate::falls::Falls;
use crate::handover::Packed;
use crate::packet::{Audience, Hearing};
use crate::path::PathState;
use fall::{Fall, Standing, Terms, Window};

/// A gateway that hears nobody is believed after this: others may be about to say the same. And it is held against it only if it still
/// says so when another one has heard somebody for this long: what it said before may be outdated.
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
    /// How often it fell, by the highest count that it was told.
    pub(crate) falls: Falls,
    /// When the latest probe went out that found life.
    pub(crate) heard_from: Option<Now>,
    /// When probes went out of which none was answered.
    pub(crate) silent_from: Option<Now>,
    /// Since when it is well, as it says.
    pub(crate) well_since: Option<Now>,
    /// Since when it says that it hears nobody on its other side.
    pub(crate) deaf_since: Option<Now>,
    /// Since when it says that it hears somebody there.
    pub(crate) hears_since: Option<Now>,
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
    /// Since when it hears somebody through its own tunnels.
    pub(crate) hears_tunnels_since: Option<Now>,
    /// Whether those from which it accepts packed packets say that they pack.
    pub(crate) packed: Packed,
    /// How long before a gateway of another location counts again it is returning.
    pub(crate) lead: Duration,
}

/// The gateways that are or were down.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    fallen: BTreeMap<NodeName, Fall>,
    judged_at: Now,
    terms: Terms,
}

impl Judgement {
    /// What an earlier run of the agent had judged.
    pub(crate) fn restore(liveness: &Liveness) -> Self {
        let fall = |name: &NodeName| (name.clone(), Fall::of(Standing::Down, Falls::default().and_one()));
        Self { fallen: liveness.down.iter().map(fall).collect(), ..Self::default() }
    }

    /// How often a gateway fell lately.
    pub(crate) fn falls(&self, node: &NodeName) -> Falls {
        self.fallen.get(node).map_or_else(Falls::default, |fall| fall.falls)
    }

    pub(crate) fn liveness(&self) -> Liveness {
        let is_down = |fall: &Fall| !matches!(fall.standing, Standing::Live { .. });
        let is_returning = |fall: &Fall| self.is_now(fall.returning(self.terms));
        let those = |are: &dyn Fn(&Fall) -> bool| {
            self.fallen.iter().filter(|(_, fall)| are(fall)).map(|(name, _)| name.clone()).collect()
        };
        Liveness { down: those(&is_down), returning: those(&is_returning), ..Liveness::default() }
    }

    /// Whether those from which packed packets are accepted are asked to pack.
    pub(crate) fn asks_to_pack(&self) -> bool {
        self.fallen.values().any(|fall| self.is_now(fall.asking(self.terms)))
    }

    /// When a gateway that returns counts again, or its return begins or is over, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        let moments = self.fallen.values().flat_map(|fall| fall.moments(self.terms));
        // What was due already waits for a word, not for the time.
        moments.filter(|moment| *moment > self.judged_at).min()
    }

    fn is_now(&self, window: Option<Window>) -> bool {
        window.is_some_and(|window| window.contains(self.judged_at))
    }

    /// Judges by what is heard now.
    pub(crate) fn judge(&mut self, now: Now, judge: Judge<'_>, testimonies: &[Testimony<'_>]) {
        self.judged_at = now;
        self.terms = Terms { packed: judge.packed, lead: judge.lead };
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
        let heard = gateways.iter().filter(|gateway| gateway.state == PathState::Up);
        let hear_since: Vec<Now> =
            heard.filter_map(|gateway| gateway.hears_since).chain(own.and(judge.hears_tunnels_since)).collect();
        let is_deaf = |gateway: &Testimony<'_>| {
            gateway.deaf_since.is_some_and(|since| now.saturating_sub(since) >= DEAF_TIME)
                && hear_since.iter().any(|since| gateway.heard_from >= Some(*since + DEAF_TIME))
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
        let fresh = || Fall::of(Standing::Live { since: Now::ZERO }, Falls::default());
        let fall = self.fallen.entry(node.clone()).or_insert_with(fresh);
        if matches!(fall.standing, Standing::Live { .. }) {
            fall.falls = fall.falls.and_one();
        }
        fall.standing = Standing::Down;
    }

    fn heard(&mut self, now: Now, gateway: &Testimony<'_>) {
        let Some(fall) = self.fallen.get_mut(gateway.node) else { return };
        fall.kind = gateway.kind;
        fall.falls = fall.falls.max(gateway.falls);
        fall.standing = match fall.standing {
            // One that was well all the time was cut off from here alone.
            Standing::Down => {
                let recovered = gateway.well_since.filter(|well| now.saturating_sub(*well) < fall.falls.stable_time());
                Standing::Returning { since: recovered.unwrap_or(now) }
            }
            Standing::Returning { since } if gateway.well_since > Some(since + WELL_TOLERANCE) => {
                Standing::Returning { since: gateway.well_since.unwrap_or(since) }
            }
            Standing::Returning { since } if now >= fall.due(since, self.terms.packed) => Standing::Live { since: now },
            standing @ (Standing::Returning { .. } | Standing::Live { .. }) => standing,
        };
    }
}

#[cfg(test)]
mod tests;
