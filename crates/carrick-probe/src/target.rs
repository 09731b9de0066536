//! One node that is probed, and all that is known of the path to it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use carrick_topology::NodeName;
use carrick_topology::handover::Decapsulation;
use carrick_topology::plan::{PathKind, ProbeTarget};

use crate::Now;
use crate::failure_detector::Report;
use crate::flap_count::FlapCount;
use crate::handover::{HandoverFlags, HandoverPeer, PeerObservation, Urgency};
use crate::heard_peers::HeardPeers;
use crate::packet::{Announcement, AskedLocation, Condition, LocationTag};
use crate::path_liveness::PathLiveness;
use crate::path_mtu::PathMtu;
use crate::path_use::{PathUse, PathUses};
use crate::probed_path::{PathState, ProbedPath};
use crate::record::Record;

/// A probe without an answer after this time is lost. A missed probe may still be answered before.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// A node that is not up is not probed earlier than this after the latest probe, however often it probes this one.
const QUIET_TIME: Duration = Duration::from_millis(100);
/// The path MTU is checked again after this many plain probes.
const PROBES_BETWEEN_MTU_CHECKS: u32 = 120;

/// A node that is probed.
#[derive(Debug)]
pub(crate) struct Target {
    planned: ProbeTarget,
    next_probe: Now,
    /// In the order of their sequence numbers.
    outstanding: VecDeque<Outstanding>,
    path_liveness: PathLiveness,
    record: Record,
    mtu: PathMtu,
    /// The shape of the probe that is due.
    next: Next,
    plain_since_mtu_check: u32,
    handover: HandoverPeer,
    /// The locations that the node hears, each with the time of the latest probe to which it said so.
    hears: BTreeMap<LocationTag, Now>,
    /// How many probes have asked the node about a location.
    questions: usize,
    /// How often this node flapped, as the probed node counts.
    counted_flaps: FlapCount,
    path_use: PathUses,
}

/// The shape of a probe on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Without padding.
    Plain,
    /// Padded, to find out which sizes pass.
    Padded {
        /// The size of the whole IP packet, in bytes.
        ip_bytes: u32,
    },
    /// Padded and encapsulated, to find out whether encapsulated packets pass.
    Encapsulated {
        /// The size of the whole inner IP packet, in bytes.
        ip_bytes: u32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Plain,
    Padded,
    Encapsulated,
}

/// What the prober evaluates when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    pub(crate) state: PathState,
    pub(crate) heard_peers: HeardPeers,
    is_draining: bool,
    handover: PeerObservation,
    path_use: PathUse,
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    sequence: u64,
    sent_at: Now,
    /// When it counts as missed; `None` if it already does, or if it is not plain: other probes say nothing of liveness.
    missed_at: Option<Now>,
    /// When the kernel of the node said that no agent listens.
    refused_at: Option<Now>,
    shape: Shape,
    asks: Option<LocationTag>,
}

impl Outstanding {
    fn lost_at(&self) -> Now {
        self.sent_at + LOST_AFTER
    }
}

impl Target {
    pub(crate) fn new(planned: ProbeTarget, first_probe: Now) -> Self {
        Self {
            mtu: PathMtu::new(planned.to, planned.device_mtu),
            planned,
            next_probe: first_probe,
            outstanding: VecDeque::new(),
            path_liveness: PathLiveness::default(),
            record: Record::default(),
            next: Next::Plain,
            plain_since_mtu_check: 0,
            handover: HandoverPeer::default(),
            hears: BTreeMap::new(),
            questions: 0,
            counted_flaps: FlapCount::default(),
            path_use: PathUses::default(),
        }
    }

    /// How many probes have asked the node about a location.
    pub(crate) const fn questions(&self) -> usize {
        self.questions
    }

    /// When the latest probe was sent to which the node answered that it hears this location; `None` if it answered otherwise since then.
    pub(crate) fn hears(&self, location: LocationTag) -> Option<Now> {
        self.hears.get(&location).copied().filter(|_| self.path_liveness.state() == PathState::Up)
    }

    /// The target as the plan has it.
    pub(crate) const fn planned(&self) -> &ProbeTarget {
        &self.planned
    }

    /// Whether a probe was missed and the path is not down yet.
    pub(crate) fn is_suspected(&self) -> bool {
        self.path_liveness.is_suspected()
    }

    /// Probes the node without the wait for the interval.
    pub(crate) fn probe_now(&mut self, now: Now) {
        self.next_probe = self.next_probe.min(now);
    }

    /// The state of handovers with this node from now on. A new statement, or a first encapsulated probe, is sent at once.
    pub(crate) fn update_handover(&mut self, now: Now, to_tell: HandoverFlags, leads_there: bool) {
        if self.handover.update(to_tell, leads_there) == Urgency::Now {
            self.probe_now(now);
        }
    }

    /// Whether this node sends by the probed one from now on. News is sent at once.
    pub(crate) fn set_path_use(&mut self, now: Now, path_use: PathUse) {
        if path_use != self.path_use.own {
            self.path_use.own = path_use;
            self.probe_now(now);
        }
    }

    /// Whether this node sends by the probed one.
    pub(crate) const fn path_use(&self) -> PathUse {
        self.path_use.own
    }

    /// The state of handovers with this node.
    pub(crate) const fn handover(&self) -> &HandoverPeer {
        &self.handover
    }

    /// Whether the node accepts encapsulated packets that come through a tunnel.
    pub(crate) fn decapsulation(&self) -> Option<Decapsulation> {
        self.handover.decapsulation().filter(|_| self.planned.kind == PathKind::Tunnel)
    }

    /// Whether no probe is urgent because of a handover.
    pub(crate) fn is_settled(&self) -> bool {
        self.handover.is_told() && !self.handover.wants_trial()
    }

    pub(crate) const fn next_probe(&self) -> Now {
        self.next_probe
    }

    /// When the next probe counts as missed or lost.
    pub(crate) fn next_expiry(&self) -> Option<Now> {
        let expiry = |probe: &Outstanding| probe.missed_at.unwrap_or_else(|| probe.lost_at());
        self.outstanding.iter().map(expiry).min()
    }

    pub(crate) fn report<'a>(&'a self, node: &'a NodeName) -> Report<'a> {
        Report {
            node,
            location: &self.planned.location,
            kind: self.planned.kind,
            state: self.path_liveness.state(),
            flap_count: self.path_liveness.flap_count(),
            counted_flaps: self.counted_flaps,
            path_use: self.path_use.other_end,
            answered_at: self.path_liveness.answered_at(),
            silent_since: self.path_liveness.silent_since(),
            well_since: self.path_liveness.well_since(),
            draining_since: self.path_liveness.draining_since(),
            isolated_since: self.path_liveness.isolated_since(self.planned.kind.other_side()),
            connected_since: self.path_liveness.connected_since(self.planned.kind.other_side()),
        }
    }

    /// What the prober evaluates when it changes.
    pub(crate) fn observation(&self) -> Observation {
        Observation {
            state: self.path_liveness.state(),
            heard_peers: self.path_liveness.heard_peers(),
            is_draining: self.path_liveness.draining_since().is_some(),
            handover: self.handover.observation(),
            path_use: self.path_use.other_end,
        }
    }

    /// The path MTU in bytes, if it is less than the devices permit.
    pub(crate) fn narrow_mtu(&self) -> Option<u32> {
        self.mtu.found().filter(|found| *found < self.planned.device_mtu)
    }

    pub(crate) fn path(&self, to: &NodeName) -> ProbedPath {
        ProbedPath {
            to: to.clone(),
            location: self.planned.location.clone(),
            kind: self.planned.kind,
            address: self.planned.to,
            state: self.path_liveness.state(),
            sent: self.record.sent,
            answered: self.record.answered,
            loss: self.record.loss(),
            round_trip: self.record.round_trip(),
            histogram: self.record.histogram.clone(),
            mtu: self.mtu.found(),
        }
    }

    /// Notes that a probe is sent now, and returns its shape. The next one is due after `interval`, or after `shortest` if the path is
    /// suspected. The probe counts as missed later by `extension`.
    pub(crate) fn send(
        &mut self,
        now: Now,
        sequence: u64,
        shortest: Duration,
        interval: Duration,
        extension: Duration,
        asks: Option<LocationTag>,
    ) -> Shape {
        let shape = self.shape();
        let missed_at = match shape {
            Shape::Padded { .. } | Shape::Encapsulated { .. } => None,
            Shape::Plain => {
                self.record.sent += 1;
                self.plain_since_mtu_check += 1;
                self.handover.note_plain_probe();
                let median = self.record.median().unwrap_or_default();
                Some(now + shortest.max(median * 2).min(LOST_AFTER) + extension)
            }
        };
        self.questions = self.questions.wrapping_add(asks.iter().len());
        self.outstanding.push_back(Outstanding { sequence, sent_at: now, missed_at, refused_at: None, shape, asks });
        self.next = self.next_after(shape);
        self.next_probe = match self.next {
            Next::Plain => now + if self.path_liveness.is_suspected() { shortest } else { interval },
            Next::Padded | Next::Encapsulated => now,
        };
        if self.next == Next::Padded {
            self.plain_since_mtu_check = 0;
        }
        shape
    }

    /// The shape of the probe that is due. A probe that is not plain may be dropped on the way, so that a statement goes with a plain one.
    fn shape(&self) -> Shape {
        match self.next {
            _ if !self.handover.is_told() => Shape::Plain,
            Next::Plain => Shape::Plain,
            Next::Padded => Shape::Padded { ip_bytes: self.mtu.size() },
            Next::Encapsulated => {
                Shape::Encapsulated { ip_bytes: self.narrow_mtu().unwrap_or(self.planned.device_mtu) }
            }
        }
    }

    fn next_after(&self, shape: Shape) -> Next {
        if shape != Shape::Plain {
            return Next::Plain;
        }
        let is_outstanding = |is: fn(&Shape) -> bool| self.outstanding.iter().any(|probe| is(&probe.shape));
        let is_up = self.path_liveness.state() == PathState::Up;
        let checks_mtu = !self.mtu.is_settled() || self.plain_since_mtu_check >= PROBES_BETWEEN_MTU_CHECKS;
        if self.handover.wants_trial() && is_up && !is_outstanding(|shape| matches!(shape, Shape::Encapsulated { .. }))
        {
            Next::Encapsulated
        } else if self.next == Next::Padded
            || (checks_mtu && is_up && !is_outstanding(|shape| matches!(shape, Shape::Padded { .. })))
        {
            Next::Padded
        } else {
            Next::Plain
        }
    }

    /// Whether the probe with this number is outstanding.
    pub(crate) fn awaits(&self, sequence: u64) -> bool {
        self.outstanding.iter().any(|probe| probe.sequence == sequence)
    }

    /// Whether the agent of the node answers, and no probe is missed.
    pub(crate) fn is_answered(&self) -> bool {
        self.path_liveness.state() == PathState::Up && !self.is_suspected()
    }

    /// Takes an answer to an outstanding probe. Returns whether the node says something new of a location that it was asked about.
    pub(crate) fn take_answer(&mut self, now: Now, sequence: u64, condition: Condition) -> bool {
        let Some(position) = self.outstanding.iter().position(|probe| probe.sequence == sequence) else { return false };
        let Some(probe) = self.outstanding.remove(position) else { return false };
        match probe.shape {
            Shape::Padded { ip_bytes } => self.mtu.passed(ip_bytes),
            Shape::Encapsulated { .. } => self.handover.note_trial_passed(),
            Shape::Plain => self.record.answered(probe.sent_at, now.saturating_sub(probe.sent_at)),
        }
        let is_news = probe.asks.is_some_and(|tag| match condition.asked {
            AskedLocation::Heard => self.hears.insert(tag, probe.sent_at).is_none(),
            AskedLocation::Unheard => self.hears.remove(&tag).is_some(),
        });
        self.path_liveness.answered(now, probe.sent_at, condition);
        self.handover.hear(condition.handover);
        self.clear_deadlines(probe.sent_at);
        is_news
    }

    /// The node probed this one, and said this. Only an answer shows that the path to it is open.
    /// If the path was down, the probe of the node gives a reason to find out at once. If the path is up, a probe that is due within
    /// `joins_within` goes together with the answer, so that both ends wake up less often.
    pub(crate) fn note_probe(&mut self, now: Now, announcement: Announcement, joins_within: Duration) {
        self.counted_flaps = announcement.flap_count;
        if self.path_liveness.state() == PathState::Up {
            self.handover.hear(announcement.handover);
            if self.next_probe <= now + joins_within {
                self.probe_now(now);
            }
            // An end that has begun to bypass the tunnel waits for what this node says.
            if announcement.path_use != self.path_use.other_end {
                self.path_use.other_end = announcement.path_use;
                self.probe_now(now);
            }
        } else if self.outstanding.back().is_none_or(|latest| now.saturating_sub(latest.sent_at) >= QUIET_TIME) {
            self.probe_now(now);
        }
    }

    /// The kernel of the node said that no agent listens, about an outstanding probe. Any host that reads the probe can say so: it counts
    /// only once the probe has had no answer for its timeout.
    pub(crate) fn take_refusal(&mut self, now: Now, sequence: u64) {
        let Some(probe) = self.outstanding.iter_mut().find(|probe| probe.sequence == sequence) else { return };
        self.path_liveness.note_refusal(now);
        probe.refused_at = Some(now);
        let (sent_at, is_overdue) = (probe.sent_at, probe.shape == Shape::Plain && probe.missed_at.is_none());
        if is_overdue {
            self.path_liveness.refused(now, sent_at);
        }
    }

    /// Probes that were sent before a sign of life cannot be missed any more.
    fn clear_deadlines(&mut self, sent_until: Now) {
        for probe in self.outstanding.iter_mut().filter(|probe| probe.sent_at <= sent_until) {
            probe.missed_at = None;
        }
    }

    /// This node was delayed: answers to outstanding probes may wait in a socket.
    pub(crate) fn extend_deadline(&mut self, until: Now) {
        for missed_at in self.outstanding.iter_mut().filter_map(|probe| probe.missed_at.as_mut()) {
            *missed_at = (*missed_at).max(until);
        }
    }

    /// Does what is due by now; returns whether a probe was missed.
    pub(crate) fn handle_timeout(&mut self, now: Now) -> bool {
        let mut is_missed = false;
        for probe in &mut self.outstanding {
            if probe.missed_at.is_some_and(|missed| missed <= now) {
                probe.missed_at = None;
                match probe.refused_at {
                    Some(refused_at) => self.path_liveness.refused(refused_at, probe.sent_at),
                    None => {
                        is_missed = true;
                        self.path_liveness.missed(now, probe.sent_at);
                    }
                }
            }
        }
        if self.path_liveness.state() != PathState::Up {
            self.handover.forget();
            self.path_use.other_end = PathUse::Unsaid;
        }
        if is_missed && self.path_liveness.is_suspected() {
            self.probe_now(now);
        }
        let is_lost = |probe: &Outstanding| probe.missed_at.is_none() && probe.lost_at() <= now;
        while let Some(position) = self.outstanding.iter().position(is_lost)
            && let Some(probe) = self.outstanding.remove(position)
        {
            match probe.shape {
                // The size is the cause only if plain probes are answered.
                Shape::Padded { ip_bytes } if self.path_liveness.state() == PathState::Up => self.mtu.failed(ip_bytes),
                Shape::Padded { .. } | Shape::Encapsulated { .. } => {}
                Shape::Plain => self.record.lost(probe.sent_at),
            }
        }
        is_missed
    }
}
