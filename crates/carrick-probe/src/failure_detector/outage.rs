//! Locations of which no gateway is well. Their next gateways are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use super::report::Report;
use crate::Now;
use crate::probed_path::PathState;

/// Another location waits this long until it passes over the gateways: less than the location itself, so that the new gateway is known as a
/// peer when it initiates a handshake.
const WAIT_IN_OTHER_LOCATIONS: Duration = Duration::from_millis(500);
/// The nodes of the location itself wait this long.
const WAIT_IN_OWN_LOCATION: Duration = Duration::from_millis(1_500);
/// The wait for a location of which no gateway has been well since the agent started: WireGuard repeats a first handshake after 5 s.
const WAIT_FOR_FIRST_ANSWER: Duration = Duration::from_secs(6);
/// For how long after an outage a gateway may be silent beside another one: not all of them answer at the same instant, and the first sessions
/// of new gateways are about to begin.
const GRACE: Duration = Duration::from_secs(1);
/// How often gateways of a location are passed over while none of them is well.
const MOST_TRIES: u8 = 3;

/// The locations of which no gateway is well.
#[derive(Debug, Default)]
pub(super) struct Outages {
    by_location: BTreeMap<LocationName, Outage>,
    /// Locations of which a gateway has been well.
    answered: BTreeSet<LocationName>,
    /// When the latest outage of a location ended.
    ended: BTreeMap<LocationName, Now>,
}

#[derive(Debug, Default)]
struct Outage {
    phase: Phase,
    /// Gateways that count as down, so that the plan names the next ones, each with the number of the try that passed it over. All of them stay
    /// in the plan, and are probed.
    passed_over: BTreeMap<NodeName, u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// No gateway is well. The silent ones are passed over at this moment; `None` while one of them may still answer, and when nothing is
    /// left to try.
    Silent { due: Option<Now> },
    /// A gateway is well; those that were passed over are still silent.
    #[default]
    Answered,
}

impl Outages {
    /// Forgets locations without gateways.
    pub(super) fn retain(&mut self, is_known: impl Fn(&LocationName) -> bool) {
        self.by_location.retain(|location, _| is_known(location));
        self.ended.retain(|location, _| is_known(location));
        self.answered.retain(is_known);
    }

    /// A gateway of this location is well, or this node is a gateway of it and hears a peer.
    ///
    /// The well gateways are not passed over any more; neither are those that the same try or a later one passed over: they may be about to
    /// answer, or are not needed. The silent gateways of earlier tries stay passed over.
    pub(super) fn note_answer(
        &mut self,
        now: Now,
        location: &LocationName,
        gateways: &[&Report<'_>],
        well: &BTreeSet<&NodeName>,
    ) {
        if !self.answered.contains(location) {
            self.answered.insert(location.clone());
        }
        let Some(outage) = self.by_location.get_mut(location) else { return };
        if outage.phase != Phase::Answered {
            outage.phase = Phase::Answered;
            self.ended.insert(location.clone(), now);
        }
        let first = well.iter().filter_map(|node| outage.passed_over.get(*node)).min().copied();
        let is_known = |node: &NodeName| gateways.iter().any(|gateway| gateway.node == node);
        outage.passed_over.retain(|node, try_number| first.is_none_or(|first| *try_number < first) && is_known(node));
        if outage.passed_over.is_empty() {
            self.by_location.remove(location);
        }
    }

    /// Until when a gateway of this location may be silent beside another one.
    pub(super) fn grace_until(&self, location: &LocationName) -> Now {
        self.ended.get(location).map_or(Now::ZERO, |ended| *ended + GRACE)
    }

    /// No gateway of this location is well. A kernel without an agent carries traffic, and is not passed over.
    pub(super) fn note_silence(&mut self, now: Now, location: &LocationName, gateways: &[&Report<'_>]) {
        let wait = if self.answered.contains(location) { wait(gateways) } else { WAIT_FOR_FIRST_ANSWER };
        let outage = self.by_location.entry(location.clone()).or_default();
        let may_answer = gateways.iter().any(|gateway| gateway.state == PathState::Unknown);
        let is_left =
            |gateway: &&&Report<'_>| gateway.state == PathState::Down && !outage.passed_over.contains_key(gateway.node);
        let left: Vec<NodeName> = gateways.iter().filter(is_left).map(|gateway| gateway.node.clone()).collect();
        let tries = outage.passed_over.values().max().copied().unwrap_or_default();
        if may_answer || left.is_empty() || tries == MOST_TRIES {
            outage.phase = Phase::Silent { due: None };
            return;
        }
        let due = match outage.phase {
            Phase::Silent { due: Some(due) } => due,
            Phase::Silent { due: None } | Phase::Answered => now + wait,
        };
        if due <= now {
            outage.phase = Phase::Silent { due: None };
            outage.passed_over.extend(left.into_iter().map(|node| (node, tries + 1)));
        } else {
            outage.phase = Phase::Silent { due: Some(due) };
        }
    }

    /// Whether this gateway counts as down although it was not silent beside another one.
    pub(super) fn is_passed_over(&self, location: &LocationName, node: &NodeName) -> bool {
        self.by_location.get(location).is_some_and(|outage| outage.passed_over.contains_key(node))
    }

    /// Another gateway has taken over from this one, which is down.
    pub(super) fn note_takeover(&mut self, location: &LocationName, node: &NodeName) {
        if let Some(outage) = self.by_location.get_mut(location) {
            outage.passed_over.remove(node);
        }
    }

    /// The gateways that are passed over.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = &NodeName> {
        self.by_location.values().flat_map(|outage| outage.passed_over.keys())
    }

    /// When the next gateways are passed over, or a grace ends.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Now> {
        let due = |outage: &Outage| match outage.phase {
            Phase::Silent { due } => due,
            Phase::Answered => None,
        };
        let dues = self.by_location.values().filter_map(due);
        dues.chain(self.ended.values().map(|ended| *ended + GRACE))
    }
}

fn wait(gateways: &[&Report<'_>]) -> Duration {
    let is_inside = gateways.iter().any(|gateway| gateway.kind == PathKind::Inside);
    if is_inside { WAIT_IN_OWN_LOCATION } else { WAIT_IN_OTHER_LOCATIONS }
}
