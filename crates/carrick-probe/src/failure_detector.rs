//! Decides which gateways are down. The rules are in the documentation of the crate.

mod gateway_history;
mod outage;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_topology::plan::PathKind;
use carrick_topology::{Liveness, LocationName, NodeName};

use crate::Now;
use crate::flap_count::FlapCount;
use crate::heard_peers::{HeardPeers, Reachability};
use crate::path_use::PathUse;
use crate::probed_path::PathState;
use gateway_history::{DRAIN_NOTICE, GatewayHistory, State, Tunnel};
pub(crate) use gateway_history::{Direction, Move, MovePhase};
use outage::Outages;
pub(crate) use report::Report;

/// A gateway must be isolated for this long before it is down, because the others may be about to say the same of themselves. And another
/// gateway must have heard a peer for this long when the isolated one was last probed, because what that one says may be out of date.
const ISOLATION_TIME: Duration = Duration::from_millis(500);
/// The time for which a node has been well arrives with the delay of the path. Smaller differences mean nothing.
const WELL_TOLERANCE: Duration = Duration::from_millis(500);
/// Gateways of one location whose returns are not further apart than this return together: traffic moves once.
const RETURN_TOGETHER: Duration = Duration::from_secs(2);

/// The node that evaluates the reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observer<'a> {
    /// The location of which the node is a gateway, if it is one. It is then a witness for that location like another gateway.
    pub(crate) gateway_of: Option<&'a LocationName>,
    pub(crate) heard_peers: HeardPeers,
    /// Since when the node drains.
    pub(crate) draining_since: Option<Now>,
    /// Since when the node hears a peer on each side that has any.
    pub(crate) well_since: Option<Now>,
    /// Since when the node hears a peer through its own tunnels.
    pub(crate) hears_tunnels_since: Option<Now>,
    /// How much later than the nodes of its own location this node treats a gateway of another location as live again.
    pub(crate) far_delay: Duration,
}

/// The gateways that are or were down.
#[derive(Debug, Default)]
pub(crate) struct FailureDetector {
    histories: BTreeMap<NodeName, GatewayHistory>,
    outages: Outages,
    evaluated_at: Now,
    far_delay: Duration,
}

impl FailureDetector {
    /// Continues with the gateways that were down before the agent started.
    pub(crate) fn restore(known: &Liveness) -> Self {
        let history = |name: &NodeName| {
            let mut history = GatewayHistory::new(State::Down, FlapCount::default().and_one());
            if known.bypassed.contains(name) {
                history.tunnel = Tunnel::Bypassed { silent_since: Now::ZERO, counted_flaps: FlapCount::default() };
            }
            (name.clone(), history)
        };
        Self { histories: known.down.iter().map(history).collect(), ..Self::default() }
    }

    /// How often a gateway flapped lately, as this node counts.
    pub(crate) fn flap_count(&self, now: Now, node: &NodeName) -> FlapCount {
        let history = self.histories.get(node).filter(|history| !history.has_decayed(now));
        history.map_or_else(FlapCount::default, |history| history.flap_count)
    }

    /// The gateways that count as down.
    pub(crate) fn down(&self) -> BTreeSet<NodeName> {
        let down = self.histories.iter().filter(|(_, history)| history.state.is_down());
        down.map(|(name, _)| name).chain(self.outages.passed_over()).cloned().collect()
    }

    /// Whether this node uses the path to a gateway: a tunnel unless it is bypassed, a gateway of the own location unless it counts as down.
    pub(crate) fn path_use(&self, kind: PathKind, location: &LocationName, node: &NodeName) -> PathUse {
        let is_unused = match kind {
            PathKind::Tunnel => self.histories.get(node).is_some_and(GatewayHistory::is_bypassed),
            PathKind::Inside => self.counts_as_down(location, node),
        };
        if is_unused { PathUse::Unsaid } else { PathUse::Used }
    }

    /// The gateways that are down and to which this node sends through another gateway of their location.
    pub(crate) fn bypassed(&self) -> BTreeSet<NodeName> {
        let bypassed = self.histories.iter().filter(|(_, history)| history.is_bypassed());
        bypassed.map(|(name, _)| name.clone()).collect()
    }

    /// Those of them whose traffic has left because they drain.
    pub(crate) fn drained(&self) -> BTreeSet<NodeName> {
        let drained = self.histories.iter().filter(|(_, history)| history.has_drained());
        drained.map(|(name, _)| name.clone()).collect()
    }

    /// The gateways that traffic is about to move to or away from, or has moved to or away from.
    pub(crate) fn moves(&self) -> impl Iterator<Item = (&NodeName, Move)> {
        self.histories.iter().filter_map(|(name, history)| Some((name, history.progress()?)))
    }

    /// When traffic moves to a gateway or away from it, or the next gateways of a location are tried, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        let due = self.histories.values().filter_map(|history| history.due(self.far_delay));
        // What was due already waits for an answer, not for the time.
        due.chain(self.outages.deadlines()).filter(|due| *due > self.evaluated_at).min()
    }

    /// Evaluates what is known of all gateways now.
    pub(crate) fn evaluate(&mut self, now: Now, observer: Observer<'_>, reports: &[Report<'_>]) {
        self.evaluated_at = now;
        self.far_delay = observer.far_delay;
        let known: BTreeSet<&NodeName> = reports.iter().map(|report| report.node).collect();
        self.histories.retain(|name, history| known.contains(name) && !history.has_decayed(now));
        let mut locations: BTreeMap<&LocationName, Vec<&Report<'_>>> = BTreeMap::new();
        for report in reports {
            locations.entry(report.location).or_default().push(report);
        }
        self.outages.retain(|location| locations.contains_key(location));
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
        let up = gateways.iter().filter(|gateway| gateway.state == PathState::Up);
        let connected_since: Vec<Now> =
            up.filter_map(|gateway| gateway.connected_since).chain(own.and(observer.hears_tunnels_since)).collect();
        let is_isolated = |gateway: &Report<'_>| {
            gateway.isolated_since.is_some_and(|since| now.saturating_sub(since) >= ISOLATION_TIME)
                && connected_since.iter().any(|since| gateway.answered_at >= Some(*since + ISOLATION_TIME))
        };
        // A kernel without an agent says nothing of other gateways: any host that reads the probes can speak for it.
        let is_well = |gateway: &Report<'_>| gateway.state == PathState::Up && !is_isolated(gateway);
        let hears_a_peer =
            |heard_peers: HeardPeers| [heard_peers.tunnels, heard_peers.inside].contains(&Reachability::SomePeer);
        if !gateways.iter().any(|gateway| is_well(gateway)) && !own.is_some_and(hears_a_peer) {
            gateways.iter().for_each(|gateway| self.location_is_silent(gateway.node));
            self.outages.note_silence(now, location, gateways);
            return;
        }
        let well: BTreeSet<&NodeName> =
            gateways.iter().filter(|gateway| is_well(gateway)).map(|gateway| gateway.node).collect();
        self.outages.note_answer(now, location, gateways, &well);
        let is_taken_over = own.is_some_and(|heard_peers| heard_peers.tunnels == Reachability::SomePeer)
            || gateways.iter().any(|gateway| is_well(gateway) && gateway.has_taken_over());
        let has_grace = now < self.outages.grace_until(location);
        let dues = well.iter().filter_map(|node| self.histories.get(*node)?.due_return(self.far_delay));
        let together_at = dues.filter(|due| *due <= now + RETURN_TOGETHER).max();
        let own_draining = own.map(|_| observer.draining_since);
        let draining: BTreeSet<&NodeName> = gateways
            .iter()
            .filter(|gateway| {
                let others = gateways.iter().filter(|other| other.node != gateway.node && well.contains(other.node));
                let live = others.filter(|other| !self.counts_as_down(location, other.node));
                let mut alternatives = live.map(|other| other.draining_since).chain(own_draining);
                well.contains(gateway.node) && alternatives.any(|since| self.may_leave_to(gateway, since))
            })
            .map(|gateway| gateway.node)
            .collect();
        for gateway in gateways {
            let has_witness = || {
                own.is_some_and(hears_a_peer)
                    || gateways.iter().any(|other| is_well(other) && gateway.is_silent_beside(other))
            };
            match gateway.state {
                PathState::Up | PathState::AgentAway if is_isolated(gateway) => self.gateway_is_down(gateway),
                PathState::Up if draining.contains(gateway.node) => self.gateway_drains(now, gateway),
                PathState::Up => self.gateway_is_well(now, observer.well_since, together_at, gateway),
                PathState::Down | PathState::AgentAway | PathState::Unknown
                    if is_taken_over && self.outages.is_passed_over(location, gateway.node) =>
                {
                    self.outages.note_takeover(location, gateway.node);
                    self.gateway_is_down(gateway);
                }
                PathState::Down if !has_grace && has_witness() => self.gateway_is_down(gateway),
                // While the agent is away, a gateway stays what it is: its kernel carries traffic, and tells nothing of what lies behind it.
                PathState::Down | PathState::AgentAway | PathState::Unknown => {}
            }
        }
        let has_live_one = own.is_some() || !gateways.iter().all(|gateway| self.counts_as_down(location, gateway.node));
        if !has_live_one && !has_grace {
            well.iter().for_each(|node| self.gateway_is_without_alternative(now, node));
        }
    }

    fn counts_as_down(&self, location: &LocationName, node: &NodeName) -> bool {
        self.histories.get(node).is_some_and(|history| history.state.is_down())
            || self.outages.is_passed_over(location, node)
    }

    /// All other gateways are down: nothing is carried that the return of this one could interrupt.
    fn gateway_is_without_alternative(&mut self, now: Now, node: &NodeName) {
        if let Some(history) = self.histories.get_mut(node)
            && matches!(history.state, State::Recovering { .. })
        {
            history.state = State::Live { since: now };
        }
    }

    /// A gateway that was recovering or draining begins again; the others stay what they are.
    fn location_is_silent(&mut self, node: &NodeName) {
        let Some(history) = self.histories.get_mut(node) else { return };
        history.state = match history.state {
            State::Recovering { .. } => State::Down,
            State::Draining { .. } => State::Live { since: Now::ZERO },
            state @ (State::Down | State::Live { .. } | State::Drained { .. }) => state,
        };
    }

    /// Whether a gateway drains in favour of another one that is live, and has drained since then itself. Of two gateways that drain, the one that
    /// began first leaves.
    fn may_leave_to(&self, gateway: &Report<'_>, other: Option<Now>) -> bool {
        let Some(since) = gateway.draining_since else { return false };
        let has_left = self.histories.get(gateway.node).is_some_and(|history| history.has_drained());
        has_left || other.is_none_or(|other| other > since + WELL_TOLERANCE)
    }

    /// A gateway drains, and another one of its location serves.
    fn gateway_drains(&mut self, now: Now, gateway: &Report<'_>) {
        let Some(said) = gateway.draining_since else { return };
        let fresh = || GatewayHistory::new(State::Live { since: Now::ZERO }, FlapCount::default());
        let history = self.histories.entry(gateway.node.clone()).or_insert_with(fresh);
        (history.kind, history.tunnel) = (gateway.kind, Tunnel::Used);
        let is_due = history.due(self.far_delay).is_some_and(|due| now >= due);
        history.state = match history.state {
            // A gateway that has drained for longer was without an alternative until now.
            State::Live { .. } => {
                State::Draining { since: if now.saturating_sub(said) < DRAIN_NOTICE { said } else { now } }
            }
            State::Draining { .. } if is_due => State::Drained { since: now },
            State::Draining { since } if said > since + WELL_TOLERANCE => State::Draining { since: said },
            // Nothing is carried that could move.
            State::Down | State::Recovering { .. } => State::Drained { since: Now::ZERO },
            state @ (State::Draining { .. } | State::Drained { .. }) => state,
        };
    }

    fn gateway_is_down(&mut self, gateway: &Report<'_>) {
        let fresh = || GatewayHistory::new(State::Live { since: Now::ZERO }, FlapCount::default());
        let history = self.histories.entry(gateway.node.clone()).or_insert_with(fresh);
        if !history.state.is_down() {
            history.flap_count = history.flap_count.and_one();
        }
        let silent_since = gateway.silent_since.filter(|_| gateway.kind == PathKind::Tunnel);
        history.tunnel = match (history.tunnel, silent_since) {
            (bypassed @ Tunnel::Bypassed { .. }, Some(_)) if history.is_bypassed() => bypassed,
            (_, Some(silent_since)) => Tunnel::Bypassed { silent_since, counted_flaps: FlapCount::default() },
            (_, None) => Tunnel::Used,
        };
        history.state = State::Down;
    }

    fn gateway_is_well(
        &mut self,
        now: Now,
        own_well_since: Option<Now>,
        together_at: Option<Now>,
        gateway: &Report<'_>,
    ) {
        let Some(history) = self.histories.get_mut(gateway.node) else { return };
        // If both ends were well all the time, the tunnel between them was broken and nothing else. Both of them see that, and go back to the
        // tunnel at the end of the stable time. A node that was dead or cut off uses its tunnels at once.
        if let (State::Down, Tunnel::Bypassed { silent_since, .. }) = (history.state, history.tunnel) {
            let were_both_well =
                [gateway.well_since, own_well_since].iter().all(|well| well.is_some_and(|well| well <= silent_since));
            if !were_both_well {
                history.tunnel = Tunnel::Used;
            }
        }
        // The other end did not notice the fault, or returned first: it sends by the tunnel, and accepts by it alone what this node sends.
        if gateway.path_use > PathUse::Unsaid {
            history.tunnel = Tunnel::Used;
        }
        if let Tunnel::Bypassed { counted_flaps, .. } = &mut history.tunnel {
            *counted_flaps = gateway.counted_flaps;
        }
        history.kind = gateway.kind;
        history.flap_count = history.flap_count.max(gateway.flap_count);
        let is_due = history.due(self.far_delay).is_some_and(|due| now >= due);
        history.state = match history.state {
            // The gateway's location sends by the gateway all that it carries, and the gateway sends it by this tunnel.
            State::Recovering { .. }
                if gateway.kind == PathKind::Tunnel && gateway.path_use == PathUse::UsedByLocation =>
            {
                State::Live { since: now }
            }
            State::Down | State::Drained { .. } => {
                // A gateway that was well for longer was cut off from this node alone.
                let recovered =
                    gateway.well_since.filter(|well| now.saturating_sub(*well) < history.flap_count.stable_time());
                State::Recovering { since: recovered.unwrap_or(now) }
            }
            State::Recovering { since } if gateway.well_since > Some(since + WELL_TOLERANCE) => {
                State::Recovering { since: gateway.well_since.unwrap_or(since) }
            }
            State::Recovering { .. } if is_due && Some(now) >= together_at => State::Live { since: now },
            // It drains no more, or no other gateway serves.
            State::Draining { .. } => State::Live { since: Now::ZERO },
            state @ (State::Recovering { .. } | State::Live { .. }) => state,
        };
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
