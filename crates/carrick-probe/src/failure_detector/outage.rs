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
/// How often the gateways of a location are passed over while none of them is well.
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
    /// When the gateways that are left are passed over; `None` while one of them may still answer, and when nothing is left to try.
    due: Option<Now>,
    tries: u8,
    /// Gateways that count as down, so that the plan names the next ones.
    passed_over: BTreeSet<NodeName>,
}

impl Outages {
    /// Forgets locations without gateways.
    pub(super) fn retain(&mut self, is_known: impl Fn(&LocationName) -> bool) {
        self.by_location.retain(|location, _| is_known(location));
        self.ended.retain(|location, _| is_known(location));
        self.answered.retain(is_known);
    }

    /// A gateway of this location is well. Returns the gateways that were passed over until now.
    pub(super) fn note_answer(&mut self, now: Now, location: &LocationName) -> BTreeSet<NodeName> {
        if !self.answered.contains(location) {
            self.answered.insert(location.clone());
        }
        let Some(outage) = self.by_location.remove(location) else { return BTreeSet::new() };
        self.ended.insert(location.clone(), now);
        outage.passed_over
    }

    /// Until when a gateway of this location may be silent beside another one.
    pub(super) fn grace_until(&self, location: &LocationName) -> Now {
        self.ended.get(location).map_or(Now::ZERO, |ended| *ended + GRACE)
    }

    /// No gateway of this location is well.
    pub(super) fn note_silence(&mut self, now: Now, location: &LocationName, gateways: &[&Report<'_>]) {
        let wait = if self.answered.contains(location) { wait(gateways) } else { WAIT_FOR_FIRST_ANSWER };
        let outage = self.by_location.entry(location.clone()).or_default();
        // A kernel without an agent carries traffic: the agent may answer soon.
        let may_answer =
            gateways.iter().any(|gateway| matches!(gateway.state, PathState::Unknown | PathState::AgentAway));
        let is_exhausted = gateways.iter().all(|gateway| outage.passed_over.contains(gateway.node));
        if may_answer || is_exhausted || outage.tries == MOST_TRIES {
            outage.due = None;
            return;
        }
        let due = *outage.due.get_or_insert(now + wait);
        if due <= now {
            outage.due = None;
            outage.tries += 1;
            outage.passed_over.extend(gateways.iter().map(|gateway| gateway.node.clone()));
        }
    }

    /// The gateways that count as down although no other gateway of their location answers.
    pub(super) fn passed_over(&self) -> impl Iterator<Item = &NodeName> {
        self.by_location.values().flat_map(|outage| &outage.passed_over)
    }

    /// When the next gateways are passed over, or a grace ends.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Now> {
        let dues = self.by_location.values().filter_map(|outage| outage.due);
        dues.chain(self.ended.values().map(|ended| *ended + GRACE))
    }
}

fn wait(gateways: &[&Report<'_>]) -> Duration {
    let is_inside = gateways.iter().any(|gateway| gateway.kind == PathKind::Inside);
    if is_inside { WAIT_IN_OWN_LOCATION } else { WAIT_IN_OTHER_LOCATIONS }
}
