//! Which gateways are down.
//!
//! One rule, for every node, from what it hears itself:
//!
//! - a gateway that is silent is down, and so is one that says itself that it hears nobody on its other side (through its tunnels, for
//!   those inside its location; inside it, for those outside), while another gateway of its location does;
//! - where no gateway of a location is heard, nobody there is judged: the fault is more likely on the way, or here;
//! - it counts again after it was well for a time that doubles each time it falls. It says itself for how long it has been well, and
//!   how many falls those count who count the most, so that all nodes give it its traffic back at the same moment, or nearly;
//! - around that moment it is returning, for its own location: whoever carries in its place copies. Those for whom somebody copies change
//!   over a little after all others, so that the copies alone count between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_topology::model::Liveness;
use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use crate::Now;
use crate::falls::Falls;
use crate::packet::{Audience, Copying, Hearing};
use crate::path::PathState;

/// A gateway that hears nobody is believed after this: others may be about to say the same.
const DEAF_TIME: Duration = Duration::from_millis(500);
/// What a node says of its age arrives with the way's delay: differences below this mean nothing.
const WELL_TOLERANCE: Duration = Duration::from_millis(500);
/// Those for whom somebody copies change over so long after the others, and whoever copies goes on for so long after that. Both are
/// more than the moment differs between nodes.
const COPIED_TIME: Duration = Duration::from_secs(1);
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
    /// Whether whoever carries for it copies for a gateway that returns.
    pub(crate) copying: Copying,
    /// How long before a gateway counts again it is returning.
    pub(crate) lead: Duration,
}

/// The gateways that are or were down.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    fallen: BTreeMap<NodeName, Fall>,
    judged_at: Now,
    copying: Copying,
    lead: Duration,
}

#[derive(Debug)]
struct Fall {
    standing: Standing,
    falls: Falls,
    /// The way by which it was last heard.
    kind: PathKind,
}

impl Fall {
    const fn of(standing: Standing, falls: Falls) -> Self {
        Self { standing, falls, kind: PathKind::Tunnel }
    }

    /// When it counts again, if it goes on to be well.
    fn due(&self, since: Now, copying: Copying) -> Now {
        let wait = match (self.kind, copying) {
            (PathKind::Inside, Copying::Yes) => COPIED_TIME,
            (PathKind::Inside, Copying::No) | (PathKind::Tunnel, _) => Duration::ZERO,
        };
        since + self.falls.stable_time() + wait
    }

    /// From when on and until when it is returning, as far as is known: for its own location only.
    fn handover(&self, lead: Duration) -> Option<(Now, Option<Now>)> {
        match (self.kind, self.standing) {
            (PathKind::Tunnel, _) | (PathKind::Inside, Standing::Down) => None,
            (PathKind::Inside, Standing::Returning { since }) => {
                Some(((since + self.falls.stable_time()).saturating_sub(lead), None))
            }
            (PathKind::Inside, Standing::Live { since }) => Some((since, Some(since + COPIED_TIME))),
        }
    }
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
        let fall = |name: &NodeName| (name.clone(), Fall::of(Standing::Down, Falls::default().and_one()));
        Self { fallen: liveness.down.iter().map(fall).collect(), ..Self::default() }
    }

    /// How often a gateway fell lately.
    pub(crate) fn falls(&self, node: &NodeName) -> Falls {
        self.fallen.get(node).map_or_else(Falls::default, |fall| fall.falls)
    }

    pub(crate) fn liveness(&self) -> Liveness {
        let is_down = |fall: &Fall| !matches!(fall.standing, Standing::Live { .. });
        let is_returning = |fall: &Fall| {
            fall.handover(self.lead)
                .is_some_and(|(from, until)| from <= self.judged_at && until.is_none_or(|until| self.judged_at < until))
        };
        let those = |are: &dyn Fn(&Fall) -> bool| {
            self.fallen.iter().filter(|(_, fall)| are(fall)).map(|(name, _)| name.clone()).collect()
        };
        Liveness { down: those(&is_down), returning: those(&is_returning) }
    }

    /// When a gateway that returns counts again, or its return begins or is over, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        let moments = |fall: &Fall| {
            let due = match fall.standing {
                Standing::Returning { since } => Some(fall.due(since, self.copying)),
                Standing::Down | Standing::Live { .. } => None,
            };
            let handover = fall.handover(self.lead);
            [due, handover.map(|(from, _)| from), handover.and_then(|(_, until)| until)]
        };
        // What was due already waits for a word, not for the time.
        self.fallen.values().flat_map(moments).flatten().filter(|moment| *moment > self.judged_at).min()
    }

    /// Judges by what is heard now.
    pub(crate) fn judge(&mut self, now: Now, judge: Judge<'_>, testimonies: &[Testimony<'_>]) {
        self.judged_at = now;
        (self.copying, self.lead) = (judge.copying, judge.lead);
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
            Standing::Returning { since } if now >= fall.due(since, self.copying) => Standing::Live { since: now },
            standing @ (Standing::Returning { .. } | Standing::Live { .. }) => standing,
        };
    }
}

#[cfg(test)]
mod tests;
