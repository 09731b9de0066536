//! Which gateways are down.
//!
//! One rule, for every node, from what it hears itself:
//!
//! - a gateway that is silent is down, and so is one that says itself that it hears nobody on its other side (through its tunnels, for
//!   those inside its location; inside it, for those outside), while another gateway of its location does;
//! - where no gateway of a location is heard, nobody there is judged: the fault is more likely on the way, or here;
//! - it counts again after it was well for a time that doubles each time it falls. It says itself for how long it has been well, and
//!   how many flaps those count who count the most, so that all nodes give it its traffic back at the same moment, or nearly;
//! - around that moment it is returning: far gateways, for those that forward from its location, accept encapsulated packets as well, and ask
//!   for them; in its own location, whoever stood by keeps its tunnels. The moments of that are told in the module `fall`.

mod gateway_history;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_topology::model::Liveness;
use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use crate::Now;
use crate::flap_count::FlapCount;
use crate::handover::EncapsulatingSenders;
use crate::packet::{HeardPeers, Reachability};
use crate::probed_path::PathState;
use gateway_history::{GatewayHistory, State, Terms, Window};

/// A gateway that hears nobody is believed after this: others may be about to say the same. And it is held against it only if it still
/// says so when another one has heard somebody for this long: what it said before may be outdated.
const DEAF_TIME: Duration = Duration::from_millis(500);
/// What a node says of its age arrives with the way's delay: differences below this mean nothing.
const WELL_TOLERANCE: Duration = Duration::from_millis(500);
/// FlapCount are forgotten when none has come for this long.
const FLAP_DECAY: Duration = Duration::from_secs(900);

/// What is heard of one gateway.
#[derive(Clone, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) node: &'a NodeName,
    pub(crate) location: &'a LocationName,
    pub(crate) kind: PathKind,
    pub(crate) state: PathState,
    /// How often it fell, by the highest count that it was told.
    pub(crate) flap_count: FlapCount,
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

impl Report<'_> {
    /// Whether it was silent when that other gateway was not: both may have fallen silent at the same moment, and one be noticed first.
    fn is_silent_beside(&self, other: &Report<'_>) -> bool {
        other.heard_from > self.silent_from
    }

    /// Whether a further word from its location may change the judgement.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.state == PathState::Down || self.deaf_since.is_some()
    }
}

/// The node that judges.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observer<'a> {
    /// Where it stands, if it is a gateway there: then it speaks for its location itself.
    pub(crate) gateway_of: Option<&'a LocationName>,
    pub(crate) heard_peers: HeardPeers,
    /// Since when it hears somebody through its own tunnels.
    pub(crate) hears_tunnels_since: Option<Now>,
    /// Whether those from which it accepts encapsulated packets say that they encapsulate.
    pub(crate) encapsulated: EncapsulatingSenders,
    /// How long before a gateway of another location counts again it is returning.
    pub(crate) lead: Duration,
}

/// The gateways that are or were down.
#[derive(Debug, Default)]
pub(crate) struct FailureDetector {
    histories: BTreeMap<NodeName, GatewayHistory>,
    evaluated_at: Now,
    terms: Terms,
}

impl FailureDetector {
    /// What an earlier run of the agent had judged.
    pub(crate) fn restore(liveness: &Liveness) -> Self {
        let fall = |name: &NodeName| (name.clone(), GatewayHistory::of(State::Down, FlapCount::default().and_one()));
        Self { histories: liveness.down.iter().map(fall).collect(), ..Self::default() }
    }

    /// How often a gateway fell lately.
    pub(crate) fn flap_count(&self, node: &NodeName) -> FlapCount {
        self.histories.get(node).map_or_else(FlapCount::default, |fall| fall.flap_count)
    }

    pub(crate) fn liveness(&self) -> Liveness {
        let is_down = |fall: &GatewayHistory| !matches!(fall.state, State::Live { .. });
        let is_returning = |fall: &GatewayHistory| self.is_now(fall.returning(self.terms));
        let those = |are: &dyn Fn(&GatewayHistory) -> bool| {
            self.histories.iter().filter(|(_, fall)| are(fall)).map(|(name, _)| name.clone()).collect()
        };
        Liveness { down: those(&is_down), returning: those(&is_returning), ..Liveness::default() }
    }

    /// Whether those from which encapsulated packets are accepted are asked to encapsulate.
    pub(crate) fn asks_to_encapsulate(&self) -> bool {
        self.histories.values().any(|fall| self.is_now(fall.asking(self.terms)))
    }

    /// When a gateway that returns counts again, or its return begins or is over, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        let moments = self.histories.values().flat_map(|fall| fall.moments(self.terms));
        // What was due already waits for a word, not for the time.
        moments.filter(|moment| *moment > self.evaluated_at).min()
    }

    fn is_now(&self, window: Option<Window>) -> bool {
        window.is_some_and(|window| window.contains(self.evaluated_at))
    }

    /// Judges by what is heard now.
    pub(crate) fn evaluate(&mut self, now: Now, observer: Observer<'_>, reports: &[Report<'_>]) {
        self.evaluated_at = now;
        self.terms = Terms { encapsulated: observer.encapsulated, lead: observer.lead };
        let known: BTreeSet<&NodeName> = reports.iter().map(|report| report.node).collect();
        self.histories.retain(|name, fall| {
            let has_decayed = matches!(fall.state, State::Live { since } if now.saturating_sub(since) > FLAP_DECAY);
            known.contains(name) && !has_decayed
        });
        let mut locations: BTreeMap<&LocationName, Vec<&Report<'_>>> = BTreeMap::new();
        for report in reports {
            locations.entry(report.location).or_default().push(report);
        }
        for (name, gateways) in locations {
            self.evaluate_location(now, observer, name, &gateways);
        }
    }

    fn evaluate_location(
        &mut self,
        now: Now,
        observer: Observer<'_>,
        location: &LocationName,
        gateways: &[&Report<'_>],
    ) {
        let own = (observer.gateway_of == Some(location)).then_some(observer.heard_peers);
        let heard = gateways.iter().filter(|gateway| gateway.state == PathState::Up);
        let hear_since: Vec<Now> =
            heard.filter_map(|gateway| gateway.hears_since).chain(own.and(observer.hears_tunnels_since)).collect();
        let is_deaf = |gateway: &Report<'_>| {
            gateway.deaf_since.is_some_and(|since| now.saturating_sub(since) >= DEAF_TIME)
                && hear_since.iter().any(|since| gateway.heard_from >= Some(*since + DEAF_TIME))
        };
        let is_heard =
            |gateway: &Report<'_>| matches!(gateway.state, PathState::Up | PathState::AgentAway) && !is_deaf(gateway);
        let hears_itself =
            |heard_peers: HeardPeers| [heard_peers.tunnels, heard_peers.inside].contains(&Reachability::SomePeer);
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
        if let Some(fall) = self.histories.get_mut(node)
            && matches!(fall.state, State::Returning { .. })
        {
            fall.state = State::Down;
        }
    }

    fn silent(&mut self, node: &NodeName) {
        let fresh = || GatewayHistory::of(State::Live { since: Now::ZERO }, FlapCount::default());
        let fall = self.histories.entry(node.clone()).or_insert_with(fresh);
        if matches!(fall.state, State::Live { .. }) {
            fall.flap_count = fall.flap_count.and_one();
        }
        fall.state = State::Down;
    }

    fn heard(&mut self, now: Now, gateway: &Report<'_>) {
        let Some(fall) = self.histories.get_mut(gateway.node) else { return };
        fall.kind = gateway.kind;
        fall.flap_count = fall.flap_count.max(gateway.flap_count);
        fall.state = match fall.state {
            // One that was well all the time was cut off from here alone.
            State::Down => {
                let recovered =
                    gateway.well_since.filter(|well| now.saturating_sub(*well) < fall.flap_count.stable_time());
                State::Returning { since: recovered.unwrap_or(now) }
            }
            State::Returning { since } if gateway.well_since > Some(since + WELL_TOLERANCE) => {
                State::Returning { since: gateway.well_since.unwrap_or(since) }
            }
            State::Returning { since } if now >= fall.due(since, self.terms.encapsulated) => State::Live { since: now },
            state @ (State::Returning { .. } | State::Live { .. }) => state,
        };
    }
}

#[cfg(test)]
mod tests;
