//! Probes the nodes of a plan, and reports what it finds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use carrick_topology::handover::{HandoverInForce, HandoverReport};
use carrick_topology::plan::{PathKind, ProbePlan, SilentLocations};
use carrick_topology::{Liveness, LocationName, NodeName};

use crate::Now;
use crate::extension::Extension;
use crate::failure_detector::{FailureDetector, Observer, Report};
use crate::flap_count::ReportedFlaps;
use crate::handover::{HandoverFlags, Handovers};
use crate::heard_peers::{Expected, HeardPeers, LastHeard, Reachability};
use crate::packet::{Announcement, Condition, ProbeId};
use crate::probed_path::{PathState, ProbedPath};
use crate::target::{Observation, Shape, Target};

/// The least time between two probes that a node sends: 50 a second.
const LEAST_GAP: Duration = Duration::from_millis(20);
/// The least interval of probes inside a location, for each node of it: a gateway then answers 250 of them a second at most.
const GAP_PER_NODE: Duration = Duration::from_millis(4);
/// No peer is heard on a side if none was heard for this many intervals.
const SILENT_INTERVALS: u32 = 3;

/// A probe to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The address that sends.
    pub from: IpAddr,
    /// The address to probe.
    pub to: IpAddr,
    /// The identity of the probe.
    pub id: ProbeId,
    /// What the probe says.
    pub announcement: Announcement,
    /// The shape of the probe.
    pub shape: Shape,
}

/// Something that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProberEvent {
    /// The state of a path.
    ProbedPath {
        /// The node at the other end.
        to: NodeName,
        /// The kind of path.
        kind: PathKind,
        /// The new state.
        state: PathState,
    },
    /// The nodes that are down, or the handovers that are under way.
    Liveness(Liveness),
    /// The paths whose MTU is less than the devices permit, in bytes.
    PathMtus(BTreeMap<NodeName, u32>),
}

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
/// use carrick_topology::plan::{ProbePlan, ProbeTarget};
///
/// let [here, b1, b2] = [1, 2, 3].map(|host| IpAddr::from([10, 4, 0, host]));
/// let location: LocationName = "b".parse()?;
/// let target =
///     |to| ProbeTarget { location: location.clone(), kind: PathKind::Tunnel, from: here, to, device_mtu: 1420 };
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
    interval: Duration,
    token: u64,
    sequence: u64,
    position: Option<Position>,
    handovers: Handovers,
    own_flaps: ReportedFlaps,
    location_size: usize,
    silent_locations: SilentLocations,
    targets: BTreeMap<NodeName, Target>,
    by_address: BTreeMap<IpAddr, NodeName>,
    last_heard: LastHeard,
    failure_detector: FailureDetector,
    evaluated_with: HeardPeers,
    /// Since when a peer is heard on each side that has any.
    well_since: Option<Now>,
    /// Since when a peer is heard through tunnels.
    hears_tunnels_since: Option<Now>,
    /// Locations in which the next answer may change the result.
    awaiting_answer: BTreeSet<LocationName>,
    reported_liveness: Liveness,
    reported_mtus: BTreeMap<NodeName, u32>,
    not_before: Now,
    extension: Extension,
    transmits: VecDeque<Transmit>,
    events: VecDeque<ProberEvent>,
}

/// The place of the prober's node in the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its location.
    pub location: LocationName,
    /// Whether it is a gateway there, active or not.
    pub is_gateway: bool,
}

impl Prober {
    /// A prober that probes each target every `interval`, or less often if there are many. `token` is random. `known` is the liveness that
    /// the agent found before it was restarted.
    #[must_use]
    pub fn new(interval: Duration, token: u64, known: Liveness) -> Self {
        Self {
            interval,
            token,
            sequence: 0,
            position: None,
            handovers: Handovers::default(),
            own_flaps: ReportedFlaps::default(),
            location_size: 0,
            silent_locations: SilentLocations::default(),
            targets: BTreeMap::new(),
            by_address: BTreeMap::new(),
            last_heard: LastHeard::default(),
            failure_detector: FailureDetector::restore(&known.down),
            evaluated_with: HeardPeers::default(),
            well_since: None,
            hears_tunnels_since: None,
            awaiting_answer: BTreeSet::new(),
            reported_liveness: known,
            reported_mtus: BTreeMap::new(),
            not_before: Now::ZERO,
            extension: Extension::default(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Probes each target every `interval` from its next probe on, or less often if there are many.
    pub const fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Probes the targets of this plan from now on, and keeps what is known of those that stay.
    pub fn set_plan(&mut self, now: Now, position: Position, plan: &ProbePlan) {
        if self.position.is_none() {
            self.last_heard = LastHeard::since(now);
        }
        self.position = Some(position);
        self.location_size = plan.location_size;
        self.silent_locations = plan.silent_locations;
        self.targets.retain(|name, target| plan.targets.get(name) == Some(target.planned()));
        for (position, (name, planned)) in (0_u32..).zip(&plan.targets) {
            // The first probes are spread over time as later ones are.
            let first_probe = now + LEAST_GAP * position;
            self.targets.entry(name.clone()).or_insert_with(|| Target::new(planned.clone(), first_probe));
        }
        self.by_address = self.targets.iter().map(|(name, target)| (target.planned().to, name.clone())).collect();
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
        let Some((name, target)) = self.target_at(from) else { return };
        let (before, mtu_before) = (target.observation(), target.narrow_mtu());
        target.take_answer(now, id.sequence, condition);
        let (kind, mtu, location) = (target.planned().kind, target.narrow_mtu(), target.planned().location.clone());
        self.last_heard.note(now, kind);
        self.take_observation(now, name, before);
        if self.awaiting_answer.contains(&location) {
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
        id.token == self.token && self.known_at(from).is_some_and(|target| target.awaits(id.sequence))
    }

    /// Whether the node with this address has answered all probes that it should have answered by now.
    #[must_use]
    pub fn is_answered_by(&self, to: IpAddr) -> bool {
        self.known_at(to).is_some_and(Target::is_answered)
    }

    /// Probes the node with this address without the wait for the interval.
    pub fn probe_now(&mut self, now: Now, to: IpAddr) {
        if let Some((_, target)) = self.target_at(to) {
            target.probe_now(now);
        }
    }

    /// The kernel of the node with this address says that no agent listens on the probe port, and quotes this probe. Does nothing unless
    /// [`Prober::awaits`] an answer to the probe: a host that does not see the probes cannot say this of a node.
    pub fn take_refusal(&mut self, now: Now, from: IpAddr, id: ProbeId) {
        if !self.awaits(from, id) {
            return;
        }
        let Some((name, target)) = self.target_at(from) else { return };
        let before = target.observation();
        target.take_refusal(now, id.sequence);
        self.take_observation(now, name, before);
    }

    /// A known node with this address probed this one, by a path of this kind.
    pub fn note_probe(&mut self, now: Now, from: IpAddr, kind: PathKind, announcement: Announcement) {
        self.last_heard.note(now, kind);
        self.own_flaps.note(now, announcement.flap_count);
        let Some((name, target)) = self.target_at(from) else { return };
        let before = target.observation();
        target.note_probe(announcement.handover);
        self.take_observation(now, name, before);
    }

    /// What this node says of itself in its answers to this address.
    #[must_use]
    pub fn condition(&self, now: Now, prober: IpAddr) -> Condition {
        let well = self.well_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let well_ms = u32::try_from(well.as_millis()).unwrap_or(u32::MAX);
        let handover = self.known_at(prober).map_or(HandoverFlags::NONE, |target| target.handover().to_tell());
        Condition { heard_peers: self.heard_peers(now), well_ms, handover, flap_count: self.own_flaps.highest(now) }
    }

    fn heard_peers(&self, now: Now) -> HeardPeers {
        let expected = |has_peers| if has_peers { Expected::SomePeer } else { Expected::NoPeer };
        let tunnels = self.targets.values().any(|target| target.planned().kind == PathKind::Tunnel);
        let timeout = self.interval_among(self.targets.len()) * SILENT_INTERVALS;
        let timeout_inside = self.interval_inside() * SILENT_INTERVALS;
        HeardPeers {
            tunnels: self.last_heard.reachability(now, PathKind::Tunnel, timeout, expected(tunnels)),
            inside: self.last_heard.reachability(
                now,
                PathKind::Inside,
                timeout_inside,
                expected(self.location_size > 1),
            ),
        }
    }

    /// Does what is due by now.
    pub fn handle_timeout(&mut self, now: Now) {
        let delay = self.next_deadline().map_or(Duration::ZERO, |deadline| now.saturating_sub(deadline));
        if let Some(extension) = self.extension.note_delay(now, delay) {
            self.targets.values_mut().for_each(|target| target.extend_deadline(now + extension));
        }
        let mut changed = Vec::new();
        for (name, target) in &mut self.targets {
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
        let is_well = ![heard_peers.tunnels, heard_peers.inside].contains(&Reachability::NoPeer)
            && heard_peers != HeardPeers::default();
        self.well_since = is_well.then(|| self.well_since.unwrap_or(now));
        let hears_tunnels = heard_peers.tunnels == Reachability::SomePeer;
        self.hears_tunnels_since = hears_tunnels.then(|| self.hears_tunnels_since.unwrap_or(now));
        let is_due = self.next_evaluation().is_some_and(|deadline| deadline <= now);
        if is_due || heard_peers != self.evaluated_with {
            self.evaluate(now);
        }
        self.probe(now);
    }

    /// When [`Prober::handle_timeout`] must be called next, if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Now> {
        let probe = self.targets.values().map(Target::next_probe).min().map(|due| due.max(self.not_before));
        let expiry = self.targets.values().filter_map(Target::next_expiry).min();
        [probe, expiry, self.next_evaluation()].into_iter().flatten().min()
    }

    fn next_evaluation(&self) -> Option<Now> {
        [self.failure_detector.next_deadline(), self.handovers.next_deadline()].into_iter().flatten().min()
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
        if now < self.not_before {
            return;
        }
        let interval = self.interval_among(self.targets.len());
        let inside = self.interval_inside();
        let due = self.targets.iter_mut().filter(|(_, target)| target.next_probe() <= now);
        let Some((name, target)) = due.min_by_key(|(_, target)| (target.is_settled(), target.next_probe())) else {
            return;
        };
        let interval = match target.planned().kind {
            PathKind::Tunnel => interval,
            PathKind::Inside => interval.max(inside),
        };
        let microseconds = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.sequence = microseconds.max(self.sequence.saturating_add(1));
        let id = ProbeId { token: self.token, sequence: self.sequence };
        let shape = target.send(now, self.sequence, self.interval, interval, self.extension.at(now));
        let (from, to) = (target.planned().from, target.planned().to);
        let flap_count = self.failure_detector.flap_count(now, name);
        let announcement = Announcement { flap_count, handover: target.handover().to_tell() };
        self.transmits.push_back(Transmit { from, to, id, announcement, shape });
        self.not_before = now + LEAST_GAP;
    }

    fn interval_among(&self, targets: usize) -> Duration {
        self.interval.max(LEAST_GAP * u32::try_from(targets).unwrap_or(u32::MAX))
    }

    fn interval_inside(&self) -> Duration {
        self.interval.max(GAP_PER_NODE * u32::try_from(self.location_size).unwrap_or(u32::MAX))
    }

    fn known_at(&self, address: IpAddr) -> Option<&Target> {
        self.targets.get(self.by_address.get(&address)?)
    }

    fn target_at(&mut self, address: IpAddr) -> Option<(NodeName, &mut Target)> {
        let name = self.by_address.get(&address)?.clone();
        let target = self.targets.get_mut(&name)?;
        Some((name, target))
    }

    fn take_observation(&mut self, now: Now, to: NodeName, before: Observation) {
        let Some(target) = self.targets.get(&to) else { return };
        let (observation, kind, is_suspected) = (target.observation(), target.planned().kind, target.is_suspected());
        if is_suspected {
            self.probe_neighbours(now, &to);
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

    /// Probes the other nodes of a location: if they answer, the silent one is down.
    fn probe_neighbours(&mut self, now: Now, of: &NodeName) {
        let Some(location) = self.targets.get(of).map(|target| target.planned().location.clone()) else { return };
        let neighbours = self.targets.values_mut().filter(|target| target.planned().location == location);
        neighbours.for_each(|target| target.probe_now(now));
    }

    fn evaluate(&mut self, now: Now) {
        let heard_peers = self.heard_peers(now);
        self.evaluated_with = heard_peers;
        let position = self.position.as_ref();
        let gateway_of = position.filter(|position| position.is_gateway).map(|position| &position.location);
        let reports: Vec<Report<'_>> = self.targets.iter().map(|(node, target)| target.report(node)).collect();
        let awaiting_answer = reports.iter().filter(|report| report.awaits_answer());
        self.awaiting_answer = awaiting_answer.map(|report| report.location.clone()).collect();
        let said =
            |name: &NodeName| self.targets.get(name).map_or(HandoverFlags::NONE, |target| target.handover().said());
        self.handovers.set_schedule(said, self.interval_inside().max(self.interval_among(self.targets.len())));
        let (hears_tunnels_since, far_delay) = (self.hears_tunnels_since, self.handovers.far_delay());
        let silent_locations = self.silent_locations;
        let observer = Observer { gateway_of, heard_peers, hears_tunnels_since, far_delay, silent_locations };
        self.failure_detector.evaluate(now, observer, &reports);
        self.handovers.evaluate(now, self.failure_detector.returns());
        for (name, target) in &mut self.targets {
            target.update_handover(now, self.handovers.flags_for(name), self.handovers.leads_to(name));
        }
        let liveness = Liveness { down: self.failure_detector.down(), handover: self.handover_report() };
        if liveness != self.reported_liveness {
            self.reported_liveness.clone_from(&liveness);
            self.events.push_back(ProberEvent::Liveness(liveness));
        }
    }

    fn handover_report(&self) -> HandoverReport {
        let decapsulation = |(name, target): (&NodeName, &Target)| Some((name.clone(), target.decapsulation()?));
        HandoverReport {
            returning: self.handovers.returning().clone(),
            decapsulating: self.targets.iter().filter_map(decapsulation).collect(),
        }
    }

    fn report_mtus(&mut self) {
        let narrow = |(name, target): (&NodeName, &Target)| Some((name.clone(), target.narrow_mtu()?));
        let mtus: BTreeMap<NodeName, u32> = self.targets.iter().filter_map(narrow).collect();
        if mtus != self.reported_mtus {
            self.reported_mtus.clone_from(&mtus);
            self.events.push_back(ProberEvent::PathMtus(mtus));
        }
    }
}
