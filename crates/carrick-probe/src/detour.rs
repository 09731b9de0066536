//! Locations of which this node reaches no gateway, and the gateways that reach them.
//!
//! A node that hears no gateway of a location asks all gateways that it hears: those of its own location and those of third ones. A gateway
//! says that it hears the location if it hears one of its gateways through its own tunnel. So it does not send packets back.

use std::collections::BTreeMap;
use std::time::Duration;

use carrick_topology::plan::PathKind;
use carrick_topology::{LocationName, NodeName};

use crate::Now;
use crate::failure_detector::Report;
use crate::flap_count::FlapCount;
use crate::packet::{AskedLocation, LocationTag};
use crate::path_use::PathUse;
use crate::probed_path::PathState;
use crate::target::Target;
use crate::targets::Targets;

/// A gateway that was probed earlier than this after the location became silent may not have noticed a fault of the location itself.
const CONFIRMATION_TIME: Duration = Duration::from_millis(500);
/// For how long each answer is evaluated after a location became silent. Later on, only those are that say something new.
const SEARCH_TIME: Duration = Duration::from_secs(5);
/// For how long after the first answer of the location a detour through the own location stays: until then the gateways of the location say
/// whether they find this node down.
const LEAST_STABLE_TIME: Duration = Duration::from_secs(1);

/// The locations of which this node reaches no gateway.
#[derive(Debug, Default)]
pub(crate) struct Detours {
    by_location: BTreeMap<LocationName, Missing>,
    evaluated_at: Now,
}

#[derive(Debug)]
struct Missing {
    /// Since when no gateway of the location is heard.
    since: Now,
    through: Option<Detour>,
    phase: Phase,
}

/// The gateway through which packets to the location go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Detour {
    gateway: NodeName,
    kind: PathKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Silent,
    /// A gateway of the location has answered since then. The detour stays until the location accepts packets from this node again.
    Answering {
        since: Now,
        until: Now,
    },
}

impl Detours {
    /// What this node answers to a question about a location.
    pub(crate) fn asked(&self, tag: LocationTag, targets: &Targets) -> AskedLocation {
        let is_heard = |(_, target): (&NodeName, &Target)| {
            let planned = target.planned();
            planned.kind == PathKind::Tunnel
                && target.observation().state == PathState::Up
                && !self.by_location.contains_key(&planned.location)
                && LocationTag::of(&planned.location) == tag
        };
        if targets.iter().any(is_heard) { AskedLocation::Heard } else { AskedLocation::Unheard }
    }

    /// The location that the probe of a gateway asks about which has been asked this often before: each gateway is asked about all silent
    /// locations in turn.
    pub(crate) fn question(&self, asked_before: usize) -> Option<LocationTag> {
        let silent = || self.by_location.iter().filter(|(_, missing)| missing.phase == Phase::Silent);
        let position = asked_before.checked_rem(silent().count())?;
        silent().nth(position).map(|(location, _)| LocationTag::of(location))
    }

    /// Whether any answer may change the result, also one that says the same as before.
    pub(crate) fn awaits_answer(&self, now: Now) -> bool {
        let is_new = |missing: &Missing| missing.phase == Phase::Silent && now < missing.since + SEARCH_TIME;
        self.by_location.values().any(is_new)
    }

    /// When a detour may end, if nothing happens before.
    pub(crate) fn next_deadline(&self) -> Option<Now> {
        let until = self.by_location.values().filter_map(|missing| match missing.phase {
            Phase::Answering { until, .. } => Some(until),
            Phase::Silent => None,
        });
        until.filter(|until| *until > self.evaluated_at).min()
    }

    /// Whether packets to the location go by a detour.
    pub(crate) fn lead_around(&self, location: &LocationName) -> bool {
        self.by_location.get(location).is_some_and(|missing| missing.through.is_some())
    }

    /// The gateway through which packets to each location go.
    pub(crate) fn in_use(&self) -> BTreeMap<LocationName, NodeName> {
        let through = |missing: &Missing| missing.through.as_ref().map(|detour| detour.gateway.clone());
        self.by_location.iter().filter_map(|(location, missing)| Some((location.clone(), through(missing)?))).collect()
    }

    /// Evaluates what is known of all gateways now. `well_since` is since when this node is well.
    pub(crate) fn evaluate(&mut self, now: Now, well_since: Option<Now>, targets: &Targets) {
        self.evaluated_at = now;
        let mut locations: BTreeMap<&LocationName, Vec<Report<'_>>> = BTreeMap::new();
        for (name, target) in targets.iter().filter(|(_, target)| target.planned().kind == PathKind::Tunnel) {
            locations.entry(&target.planned().location).or_default().push(target.report(name));
        }
        self.by_location.retain(|location, _| locations.contains_key(location));
        for (location, gateways) in locations {
            let is_heard =
                gateways.iter().any(|gateway| [PathState::Up, PathState::AgentAway].contains(&gateway.state));
            if is_heard {
                let Some(missing) = self.by_location.get_mut(location) else { continue };
                if !missing.stays(now, well_since, &gateways) {
                    self.by_location.remove(location);
                }
            } else if gateways.iter().any(|gateway| gateway.state == PathState::Down) {
                let fresh = || Missing { since: now, through: None, phase: Phase::Silent };
                let missing = self.by_location.entry(location.clone()).or_insert_with(fresh);
                missing.phase = Phase::Silent;
                missing.through = detour(location, missing.since, targets);
            }
        }
    }
}

impl Missing {
    /// A gateway of the location answers: whether the detour stays for now.
    ///
    /// Through a third location, both ends go back at once. Through the own location, the gateways of the other location have found this node
    /// down beside the gateway that it sends through, and accept its packets from there until the stable time is over, or until they say that they
    /// use their tunnels.
    fn stays(&mut self, now: Now, well_since: Option<Now>, gateways: &[Report<'_>]) -> bool {
        let is_inside = self.through.as_ref().is_some_and(|detour| detour.kind == PathKind::Inside);
        let up = || gateways.iter().filter(|gateway| gateway.state == PathState::Up);
        let were_well = || {
            let mut well = up().map(|gateway| gateway.well_since).chain([well_since]);
            well.all(|well| well.is_some_and(|well| well <= self.since))
        };
        let since = match self.phase {
            Phase::Answering { since, .. } => since,
            Phase::Silent if is_inside && were_well() => now,
            Phase::Silent => return false,
        };
        let counted = up().map(|gateway| gateway.counted_flaps).max().unwrap_or_default();
        let stable_time = if counted == FlapCount::default() { LEAST_STABLE_TIME } else { counted.stable_time() };
        self.phase = Phase::Answering { since, until: since + stable_time };
        now < since + stable_time && up().any(|gateway| gateway.path_use == PathUse::Unsaid)
    }
}

/// A gateway of the own location that hears this one, else one of a third location. Both ends of the broken tunnels choose among the same
/// gateways of third locations, and choose the first one by name.
fn detour(missing: &LocationName, since: Now, targets: &Targets) -> Option<Detour> {
    let tag = LocationTag::of(missing);
    let hears = |target: &Target| target.hears(tag).is_some_and(|asked_at| asked_at >= since + CONFIRMATION_TIME);
    let candidates = targets.iter().filter(|(_, target)| target.planned().location != *missing && hears(target));
    let order = |(name, target): &(&NodeName, &Target)| (target.planned().kind == PathKind::Tunnel, (*name).clone());
    let (gateway, target) = candidates.min_by_key(order)?;
    Some(Detour { gateway: gateway.clone(), kind: target.planned().kind })
}
