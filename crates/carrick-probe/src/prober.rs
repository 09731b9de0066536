//! Probes the nodes of a plan, and reports what it finds.

mod evaluation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use carrick_topology::handover::HandoverInForce;
use carrick_topology::model::Duty;
use carrick_topology::plan::{Egress, PathKind, ProbePlan};
use carrick_topology::{Liveness, LocationName, NodeName};

use crate::Now;
use crate::detour::Detours;
use crate::duty::OwnDuty;
use crate::extension::Extension;
use crate::failure_detector::FailureDetector;
use crate::flap_count::ReportedFlaps;
use crate::handover::{HandoverFlags, Handovers, Postponement, Preparation};
use crate::heard_peers::{Expected, HeardPeers, HeardSince, LastHeard};
use crate::output::{ProberEvent, Transmit};
use crate::pacing::Pacing;
use crate::packet::{Announcement, AskedLocation, Condition, LocationTag, ProbeId};
use crate::path_use::{OwnLocation, PathUse};
use crate::position::Position;
use crate::probed_path::{PathState, ProbedPath};
use crate::target::{Observation, Target};
use crate::targets::Targets;

/// No peer is heard on a side if none was heard for this many intervals.
const SILENT_INTERVALS: u32 = 3;

/// The state machine of one node. Drive it in a loop:
///
/// 1. Tell it what happened: [`Prober::set_plan`], [`Prober::set_handover`], [`Prober::take_answer`], [`Prober::take_refusal`],
///    [`Prober::note_probe`]. When [`Prober::next_deadline`] has passed, read all sockets first, then call [`Prober::handle_timeout`].
/// 2. Send what [`Prober::next_transmit`] returns.
/// 3. Act on what [`Prober::next_event`] returns.
///
/// # Examples
///
/// A gateway of location `a` probes two gateways of location `b`. `b1` stops to answer after two seconds:
///
/// ```
/// use std::net::IpAddr;
/// use std::time::Duration;
///
/// use carrick_probe::{Condition, HeardPeers, PathKind, Position, Prober, ProberEvent, Reachability};
/// use carrick_topology::{Liveness, LocationName};
/// use carrick_topology::plan::{Egress, ProbePlan, ProbeTarget};
///
/// let [here, b1, b2] = [1, 2, 3].map(|host| IpAddr::from([10, 4, 0, host]));
/// let location: LocationName = "b".parse()?;
/// let target =
///     |to| ProbeTarget { location: location.clone(), kind: PathKind::Tunnel, from: here, to, egress: Egress::Route, device_mtu: 1420 };
/// let plan = ProbePlan { targets: [("b1".parse()?, target(b1)), ("b2".parse()?, target(b2))].into(), location_size: 1, ..ProbePlan::default() };
///
/// let mut prober = Prober::new(Duration::from_millis(250), 7, Liveness::default());
/// let mut now = Duration::ZERO;
/// prober.set_plan(now, Position { location: "a".parse()?, is_gateway: true }, &plan);
///
/// let heard_peers = HeardPeers { tunnels: Reachability::SomePeer, inside: Reachability::SomePeer };
/// let well = Condition { heard_peers, well_ms: 60_000, ..Condition::default() };
/// let down = 'detected: loop {
///     now = prober.next_deadline().ok_or("a prober with targets has a deadline")?;
///     prober.handle_timeout(now);
///     while let Some(probe) = prober.next_transmit() {
///         if probe.to == b2 || now < Duration::from_secs(2) {
///             prober.take_answer(now, probe.to, probe.id, well);
///         }
///     }
///     while let Some(event) = prober.next_event() {
///         if let ProberEvent::Liveness(liveness) = event {
///             break 'detected liveness.down;
///         }
///     }
/// };
/// assert_eq!(down, ["b1".parse()?].into());
/// assert!(now < Duration::from_secs(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Prober {
    pacing: Pacing,
    token: u64,
    sequence: u64,
    position: Option<Position>,
    handovers: Handovers,
    postponement: Postponement,
    own_flaps: ReportedFlaps,
    own_location: OwnLocation,
    duty: OwnDuty,
    targets: Targets,
    last_heard: LastHeard,
    failure_detector: FailureDetector,
    detours: Detours,
    evaluated_with: HeardPeers,
    heard_since: HeardSince,
    /// Locations in which the next answer may change the result.
    awaiting_answer: BTreeSet<LocationName>,
    reported_liveness: Liveness,
    reported_mtus: BTreeMap<NodeName, u32>,
    extension: Extension,
    transmits: VecDeque<Transmit>,
    events: VecDeque<ProberEvent>,
}

impl Prober {
    /// A prober that probes each target every `interval`, or less often if there are many. `token` is random. `known` is the liveness that
    /// the agent found before it was restarted.
    #[must_use]
    pub fn new(interval: Duration, token: u64, known: Liveness) -> Self {
        Self {
            pacing: Pacing::new(interval),
            token,
            sequence: 0,
            position: None,
            handovers: Handovers::default(),
            postponement: Postponement::default(),
            own_flaps: ReportedFlaps::default(),
            own_location: OwnLocation::default(),
            duty: OwnDuty::default(),
            targets: Targets::default(),
            last_heard: LastHeard::default(),
            failure_detector: FailureDetector::restore(&known),
            detours: Detours::default(),
            evaluated_with: HeardPeers::default(),
            heard_since: HeardSince::default(),
            awaiting_answer: BTreeSet::new(),
            reported_liveness: known,
            reported_mtus: BTreeMap::new(),
            extension: Extension::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Probes each target every `interval` from its next probe on, or less often if there are many.
    pub const fn set_interval(&mut self, interval: Duration) {
        self.pacing.set_interval(interval);
    }

    /// Probes the targets of this plan from now on, and keeps what is known of those that stay.
    pub fn set_plan(&mut self, now: Now, position: Position, plan: &ProbePlan) {
        if self.position.is_none() {
            self.last_heard = LastHeard::since(now);
        }
        self.position = Some(position);
        self.duty.set(now, plan.duty);
        self.targets.set_plan(now, plan);
        self.pacing.set_sizes(self.targets.len(), plan.location_size);
        self.evaluate(now);
    }

    /// What the kernel holds of handovers by now. The gateways that it concerns are told at once.
    pub fn set_handover(&mut self, now: Now, in_force: HandoverInForce) {
        if self.handovers.set_in_force(in_force) {
            self.evaluate(now);
        }
    }

    /// The node with this address answered. Does nothing unless [`Prober::awaits`] the answer.
    pub fn take_answer(&mut self, now: Now, from: IpAddr, id: ProbeId, condition: Condition) {
        if !self.awaits(from, id) {
            return;
        }
        let Some((name, target)) = self.targets.at_mut(from) else { return };
        let (before, mtu_before) = (target.observation(), target.narrow_mtu());
        let is_news = target.take_answer(now, id.sequence, condition);
        let (kind, mtu, location) = (target.planned().kind, target.narrow_mtu(), target.planned().location.clone());
        self.last_heard.note(now, kind);
        self.take_observation(now, name, before);
        if is_news || self.awaiting_answer.contains(&location) || self.detours.awaits_answer(now) {
            self.evaluate(now);
        }
        if mtu != mtu_before {
            self.report_mtus();
        }
    }

    /// Whether an answer of the node with this address to this probe would be taken: the probe was sent there, it is not lost, and it was
    /// not answered yet.
    #[must_use]
    pub fn awaits(&self, from: IpAddr, id: ProbeId) -> bool {
        id.token == self.token && self.targets.at(from).is_some_and(|target| target.awaits(id.sequence))
    }

    /// Whether the node with this address has answered all probes that it should have answered by now.
    #[must_use]
    pub fn is_answered_by(&self, to: IpAddr) -> bool {
        self.targets.at(to).is_some_and(Target::is_answered)
    }

    /// How packets to this address leave.
    pub(crate) fn egress(&self, to: IpAddr) -> Egress {
        self.targets.at(to).map_or_else(Egress::default, |target| target.planned().egress)
    }

    /// Probes the node with this address without the wait for the interval.
    pub fn probe_now(&mut self, now: Now, to: IpAddr) {
        if let Some((_, target)) = self.targets.at_mut(to) {
            target.probe_now(now);
        }
    }

    /// The kernel of the node with this address says that no agent listens on the probe port, and quotes this probe. Does nothing unless
    /// [`Prober::awaits`] an answer to the probe: a host that does not see the probes cannot say this of a node.
    pub fn take_refusal(&mut self, now: Now, from: IpAddr, id: ProbeId) {
        if !self.awaits(from, id) {
            return;
        }
        let Some((name, target)) = self.targets.at_mut(from) else { return };
        let before = target.observation();
        target.take_refusal(now, id.sequence);
        self.take_observation(now, name, before);
    }

    /// A known node with this address probed this one, by a path of this kind.
    pub fn note_probe(&mut self, now: Now, from: IpAddr, kind: PathKind, announcement: Announcement) {
        self.last_heard.note(now, kind);
        self.own_flaps.note(now, announcement.flap_count);
        if kind == PathKind::Inside {
            self.own_location.note(now, self.round_inside(), announcement.path_use);
        }
        let Some((name, target)) = self.targets.at_mut(from) else { return };
        let before = target.observation();
        target.note_probe(now, announcement, self.pacing.joins_within());
        self.take_observation(now, name, before);
    }

    /// What this node says of itself in its answers to this address, and of the location that the probe asks about.
    #[must_use]
    pub fn condition(&self, now: Now, prober: IpAddr, asks: Option<LocationTag>) -> Condition {
        let since = self.duty.since(self.heard_since.well());
        let well_for = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let well_for = match self.duty.duty() {
            Duty::Serving => well_for.saturating_sub(self.postponement.by()),
            Duty::Draining => well_for,
        };
        let well_ms = u32::try_from(well_for.as_millis()).unwrap_or(u32::MAX);
        let handover = self.targets.at(prober).map_or(HandoverFlags::NONE, |target| target.handover().to_tell());
        let asked = asks.map_or(AskedLocation::Unheard, |tag| self.detours.asked(tag, &self.targets));
        Condition {
            heard_peers: self.heard_peers(now),
            duty: self.duty.duty(),
            well_ms,
            handover,
            flap_count: self.own_flaps.highest(now),
            asked,
        }
    }

    /// The time in which each node of the location probes this one, if it is a gateway; two probes may be lost.
    fn round_inside(&self) -> Duration {
        self.pacing.interval_inside() * SILENT_INTERVALS
    }

    fn heard_peers(&self, now: Now) -> HeardPeers {
        let expected = |has_peers| if has_peers { Expected::SomePeer } else { Expected::NoPeer };
        let reachability = |kind, interval: Duration, has_peers| {
            self.last_heard.reachability(now, kind, interval * SILENT_INTERVALS, expected(has_peers))
        };
        let (pacing, targets) = (&self.pacing, &self.targets);
        HeardPeers {
            tunnels: reachability(PathKind::Tunnel, pacing.interval_of_all(), targets.has(PathKind::Tunnel)),
            inside: reachability(PathKind::Inside, pacing.interval_inside(), pacing.has_neighbours()),
        }
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Now) {
        let delay = self.next_deadline().map_or(Duration::ZERO, |deadline| now.saturating_sub(deadline));
        if let Some(extension) = self.extension.note_delay(now, delay) {
            self.targets.iter_mut().for_each(|(_, target)| target.extend_deadline(now + extension));
        }
        let mut changed = Vec::new();
        for (name, target) in self.targets.iter_mut() {
            let (before, mtu_before) = (target.observation(), target.narrow_mtu());
            let is_missed = target.handle_timeout(now);
            if is_missed || target.observation() != before || target.narrow_mtu() != mtu_before {
                changed.push((name.clone(), before));
            }
        }
        if !changed.is_empty() {
            self.report_mtus();
        }
        for (name, before) in changed {
            self.take_observation(now, name, before);
        }
        let heard_peers = self.heard_peers(now);
        self.heard_since.note(now, heard_peers);
        self.postpone_own_return(now);
        let is_due = self.next_evaluation().is_some_and(|deadline| deadline <= now);
        if is_due || heard_peers != self.evaluated_with {
            self.evaluate(now);
        }
        self.probe(now);
    }

    fn postpone_own_return(&mut self, now: Now) {
        let well_since = match self.duty.duty() {
            Duty::Serving => self.duty.since(self.heard_since.well()),
            Duty::Draining => None,
        };
        let stable_time = self.own_flaps.highest(now).stable_time();
        let preparation = Preparation::of_all(self.targets.iter().map(|(_, target)| target.handover()));
        let round = self.pacing.interval_of(PathKind::Inside);
        self.postponement.note(now, well_since, stable_time, round, preparation);
    }

    /// When [`Prober::handle_timeout`] must be called next, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Now> {
        let probe = self.targets.next_probe().map(|due| due.max(self.pacing.not_before()));
        [probe, self.targets.next_expiry(), self.next_evaluation()].into_iter().flatten().min()
    }

    fn next_evaluation(&self) -> Option<Now> {
        let deadlines =
            [self.failure_detector.next_deadline(), self.handovers.next_deadline(), self.detours.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub fn next_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next change to act on.
    pub fn next_event(&mut self) -> Option<ProberEvent> {
        self.events.pop_front()
    }

    /// What is known of each path.
    #[must_use]
    pub fn paths(&self) -> Vec<ProbedPath> {
        self.targets.iter().map(|(name, target)| target.path(name)).collect()
    }

    /// Sends one probe at most: an urgent one, or the one that has been due the longest.
    fn probe(&mut self, now: Now) {
        if now < self.pacing.not_before() {
            return;
        }
        let is_sole = !self.pacing.has_neighbours();
        let location_agrees = is_sole || self.own_location.agrees(now, self.round_inside());
        let Some((name, target)) = self.targets.most_due(now) else { return };
        let interval = self.pacing.interval_of(target.planned().kind);
        let microseconds = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.sequence = microseconds.max(self.sequence.saturating_add(1));
        let id = ProbeId { token: self.token, sequence: self.sequence };
        let asks = self.detours.question(target.questions());
        let extension = self.extension.at(now);
        let shape = target.send(now, self.sequence, self.pacing.told_interval(), interval, extension, asks);
        let (from, to) = (target.planned().from, target.planned().to);
        let flap_count = self.failure_detector.flap_count(now, name);
        let announcement = Announcement {
            flap_count,
            handover: target.handover().to_tell(),
            asks,
            path_use: match target.path_use() {
                PathUse::Used if location_agrees => PathUse::UsedByLocation,
                path_use => path_use,
            },
        };
        self.transmits.push_back(Transmit { from, to, id, announcement, shape });
        self.pacing.note_sent(now);
    }

    fn take_observation(&mut self, now: Now, to: NodeName, before: Observation) {
        let Some(target) = self.targets.get(&to) else { return };
        let (observation, kind, is_suspected) = (target.observation(), target.planned().kind, target.is_suspected());
        if is_suspected {
            // If the other nodes of its location answer, the silent one is down.
            self.targets.probe_location_of(now, &to);
        }
        // A node that answers from the beginning has not changed.
        let states = (before.state, observation.state);
        if states.0 != states.1 && states != (PathState::Unknown, PathState::Up) {
            self.events.push_back(ProberEvent::ProbedPath { to, kind, state: states.1 });
        }
        if observation != before {
            self.evaluate(now);
        }
    }
}
