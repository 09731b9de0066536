//! Which gateways are down.
//!
//! One rule, for every node, from what it hears itself:
//!
//! - a gateway that is silent is down, and so is one that says itself that it hears nobody on its other side (through its tunnels, for
//!   those inside its location; inside it, for those outside), while another gateway of its location does;
//! - where no gateway of a location is heard, nobody there is judged: the fault is more likely on the way, or here;
//! - it counts again after it was well for a time that doubles each time it falls. It says itself for how long it has been well, and
//!   how many flaps those count who count the most, so that all nodes give it its traffic back at the same moment, or nearly.

mod gateway_history;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use crate::Now;
use crate::flap_count::FlapCount;
use crate::packet::{HeardPeers, Reachability};
use crate::probed_path::PathState;
use gateway_history::{GatewayHistory, State};
pub(crate) use gateway_history::{Return, ReturnPhase};

/// A gateway that hears nobody is believed after this: others may be about to say the same. And it is held against it only if it still
/// says so when another one has heard somebody for this long: what it said before may be outdated.
const DEAF_TIME: Duration = Duration::from_millis(500);
/// What a node says of its age arrives with the way's delay: differences below this mean nothing.
const WELL_TOLERANCE: Duration = Duration::from_millis(500);
/// Flaps are forgotten when none has come for this long.
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
    /// How much later than the nodes of its own location this node treats a gateway of another location as live again.
    pub(crate) far_delay: Duration,
}

/// The gateways that are or were down.
#[derive(Debug, Default)]
pub(crate) struct FailureDetector {
    histories: BTreeMap<NodeName, GatewayHistory>,
    evaluated_at: Now,
    far_delay: Duration,
}

impl FailureDetector {
    /// Continues with the gateways that were down before the agent started.
    pub(crate) fn restore<'n>(down: impl IntoIterator<Item = &'n NodeName>) -> Self {
        let history =
            |name: &NodeName| (name.clone(), GatewayHistory::new(State::Down, FlapCount::default().and_one()));
        Self { histories: down.into_iter().map(history).collect(), ..Self::default() }
    }

    /// How often a gateway fell lately.
    pub(crate) fn flap_count(&self, node: &NodeName) -> FlapCount {
        self.histories.get(node).map_or_else(FlapCount::default, |fall| fall.flap_count)
    }

    /// The gateways that count as down.
    pub(crate) fn down(&self) -> BTreeSet<NodeName> {
        let down = self.histories.iter().filter(|(_, history)| !matches!(history.state, State::Live { .. }));
        down.map(|(name, _)| name.clone()).collect()
    }

    /// The gateways that are about to count as live again, or have begun to.
    pub(crate) fn returns(&self) -> impl Iterator<Item = (&NodeName, Return)> {
        self.histories.iter().filter_map(|(name, history)| Some((name, history.progress()?)))
    }

    /// When a gateway counts as live again, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        let due = self.histories.values().filter_map(|history| match history.state {
            State::Recovering { since } => Some(history.due(since, self.far_delay)),
            State::Down | State::Live { .. } => None,
        });
        // What was due already waits for an answer, not for the time.
        due.filter(|due| *due > self.evaluated_at).min()
    }

    /// Judges by what is heard now.
    pub(crate) fn evaluate(&mut self, now: Now, observer: Observer<'_>, reports: &[Report<'_>]) {
        self.evaluated_at = now;
        self.far_delay = observer.far_delay;
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
            && matches!(fall.state, State::Recovering { .. })
        {
            fall.state = State::Down;
        }
    }

    fn silent(&mut self, node: &NodeName) {
        let fresh = || GatewayHistory::new(State::Live { since: Now::ZERO }, FlapCount::default());
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
                State::Recovering { since: recovered.unwrap_or(now) }
            }
            State::Recovering { since } if gateway.well_since > Some(since + WELL_TOLERANCE) => {
                State::Recovering { since: gateway.well_since.unwrap_or(since) }
            }
            State::Recovering { since } if now >= fall.due(since, self.far_delay) => State::Live { since: now },
            state @ (State::Recovering { .. } | State::Live { .. }) => state,
        };
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
