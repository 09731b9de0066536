//! One node that is probed.

use std::collections::VecDeque;
use std::time::Duration;

use carrick_topology::NodeName;
use carrick_topology::handover::Decapsulation;
use carrick_topology::plan::{PathKind, ProbeTarget};

use crate::Now;
use crate::failure_detector::Report;
use crate::handover::{HandoverFlags, HandoverPeer, PeerObservation, Urgency};
use crate::packet::{Condition, HeardPeers};
use crate::path_liveness::PathLiveness;
use crate::path_mtu::PathMtu;
use crate::probed_path::{PathState, ProbedPath};
use crate::record::Record;

/// A probe without an answer after this is lost. A missed one may still be answered before.
const LOST_AFTER: Duration = Duration::from_secs(1);
/// The known size of a path is tried again after so many plain probes.
const PROBES_BETWEEN_LOOKS: u32 = 120;

/// A node that is probed, with all that is known of the way to it.
#[derive(Debug)]
pub(crate) struct Target {
    wanted: ProbeTarget,
    next_probe: Now,
    /// In the order of their sequence numbers.
    outstanding: VecDeque<Outstanding>,
    path_liveness: PathLiveness,
    record: Record,
    mtu: PathMtu,
    /// Of which kind the probe is that is due.
    next: Next,
    plain_since_look: u32,
    handover: HandoverPeer,
}

/// How a probe looks on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As small as it is.
    Plain,
    /// Padded, to find out what passes.
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

/// What the judgement depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observation {
    pub(crate) state: PathState,
    pub(crate) heard_peers: HeardPeers,
    handover: PeerObservation,
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    sequence: u64,
    sent_at: Now,
    /// When it counts as missed; `None` where it already does, or where it is not plain, which says nothing of life.
    missed_at: Option<Now>,
    shape: Shape,
}

impl Outstanding {
    fn lost_at(&self) -> Now {
        self.sent_at + LOST_AFTER
    }
}

impl Target {
    pub(crate) fn new(wanted: ProbeTarget, first_probe: Now) -> Self {
        Self {
            mtu: PathMtu::new(wanted.to, wanted.device_mtu),
            wanted,
            next_probe: first_probe,
            outstanding: VecDeque::new(),
            path_liveness: PathLiveness::default(),
            record: Record::default(),
            next: Next::Plain,
            plain_since_look: 0,
            handover: HandoverPeer::default(),
        }
    }

    pub(crate) const fn wanted(&self) -> &ProbeTarget {
        &self.wanted
    }

    /// Whether it is about to be told whether it is down.
    pub(crate) fn is_suspect(&self) -> bool {
        self.path_liveness.is_suspect()
    }

    /// Its turn comes now.
    pub(crate) fn probe_now(&mut self, now: Now) {
        self.next_probe = self.next_probe.min(now);
    }

    /// The handovers with this node from now on. News is told at once, and so is an encapsulated probe that is wanted.
    pub(crate) fn update_handover(&mut self, now: Now, to_tell: HandoverFlags, leads_there: bool) {
        if self.handover.update(to_tell, leads_there) == Urgency::Now {
            self.probe_now(now);
        }
    }

    /// The handovers with this node.
    pub(crate) const fn handover(&self) -> &HandoverPeer {
        &self.handover
    }

    /// Whether the node accepts encapsulated packets that come through a tunnel.
    pub(crate) fn decapsulation(&self) -> Option<Decapsulation> {
        self.handover.decapsulation().filter(|_| self.wanted.kind == PathKind::Tunnel)
    }

    /// Whether nothing must be told or tried before other nodes have their turn.
    pub(crate) fn is_settled(&self) -> bool {
        self.handover.is_told() && !self.handover.wants_trial()
    }

    pub(crate) const fn next_probe(&self) -> Now {
        self.next_probe
    }

    /// When the next probe counts as missed or lost.
    pub(crate) fn next_expiry(&self) -> Option<Now> {
        let expiry =
            |probe: &Outstanding| probe.missed_at.map_or(probe.lost_at(), |missed| missed.min(probe.lost_at()));
        self.outstanding.iter().map(expiry).min()
    }

    pub(crate) fn report<'a>(&'a self, node: &'a NodeName) -> Report<'a> {
        Report {
            node,
            location: &self.wanted.location,
            kind: self.wanted.kind,
            state: self.path_liveness.state(),
            flap_count: self.path_liveness.flap_count(),
            heard_from: self.path_liveness.heard_from(),
            silent_from: self.path_liveness.silent_from(),
            well_since: self.path_liveness.well_since(),
            deaf_since: self.path_liveness.deaf_since(self.wanted.kind.other_side()),
            hears_since: self.path_liveness.hears_since(self.wanted.kind.other_side()),
        }
    }

    /// What the judgement depends on.
    pub(crate) fn observation(&self) -> Observation {
        Observation {
            state: self.path_liveness.state(),
            heard_peers: self.path_liveness.heard_peers(),
            handover: self.handover.observation(),
        }
    }

    /// The size that was found, where it is less than devices permit.
    pub(crate) fn narrow_mtu(&self) -> Option<u32> {
        self.mtu.found().filter(|found| *found < self.wanted.device_mtu)
    }

    pub(crate) fn path(&self, to: &NodeName) -> ProbedPath {
        ProbedPath {
            to: to.clone(),
            location: self.wanted.location.clone(),
            kind: self.wanted.kind,
            address: self.wanted.to,
            state: self.path_liveness.state(),
            sent: self.record.sent,
            answered: self.record.answered,
            loss: self.record.loss(),
            round_trip: self.record.round_trip(),
            histogram: self.record.histogram.clone(),
            mtu: self.mtu.found(),
        }
    }

    /// Notes that a probe goes out now, and gives its shape. Suspects are asked again after `shortest`, others after `interval`.
    pub(crate) fn send(&mut self, now: Now, sequence: u64, shortest: Duration, interval: Duration) -> Shape {
        let shape = self.shape();
        let missed_at = match shape {
            Shape::Padded { .. } | Shape::Encapsulated { .. } => None,
            Shape::Plain => {
                self.record.sent += 1;
                self.plain_since_look += 1;
                self.handover.note_plain_probe();
                let median = self.record.median().unwrap_or_default();
                Some(now + shortest.max(median * 2).min(LOST_AFTER))
            }
        };
        self.outstanding.push_back(Outstanding { sequence, sent_at: now, missed_at, shape });
        self.next = self.next_after(shape);
        self.next_probe = match self.next {
            Next::Plain => now + if self.path_liveness.is_suspect() { shortest } else { interval },
            Next::Padded | Next::Encapsulated => now,
        };
        if self.next == Next::Padded {
            self.plain_since_look = 0;
        }
        shape
    }

    /// The shape of the probe that is due. One that is not plain may not arrive, and so tells nothing.
    fn shape(&self) -> Shape {
        match self.next {
            _ if !self.handover.is_told() => Shape::Plain,
            Next::Plain => Shape::Plain,
            Next::Padded => Shape::Padded { ip_bytes: self.mtu.size() },
            Next::Encapsulated => Shape::Encapsulated { ip_bytes: self.narrow_mtu().unwrap_or(self.wanted.device_mtu) },
        }
    }

    fn next_after(&self, shape: Shape) -> Next {
        if shape != Shape::Plain {
            return Next::Plain;
        }
        let is_trying = |is: fn(&Shape) -> bool| self.outstanding.iter().any(|probe| is(&probe.shape));
        let is_up = self.path_liveness.state() == PathState::Up;
        let looks = !self.mtu.is_settled() || self.plain_since_look >= PROBES_BETWEEN_LOOKS;
        if self.handover.wants_trial() && is_up && !is_trying(|shape| matches!(shape, Shape::Encapsulated { .. })) {
            Next::Encapsulated
        } else if self.next == Next::Padded
            || (looks && is_up && !is_trying(|shape| matches!(shape, Shape::Padded { .. })))
        {
            Next::Padded
        } else {
            Next::Plain
        }
    }

    /// Takes an answer; says whether it belongs to a probe that waits for one.
    pub(crate) fn take_answer(&mut self, now: Now, sequence: u64, condition: Condition) -> bool {
        let Some(position) = self.outstanding.iter().position(|probe| probe.sequence == sequence) else { return false };
        let Some(probe) = self.outstanding.remove(position) else { return false };
        match probe.shape {
            Shape::Padded { ip_bytes } => self.mtu.passed(ip_bytes),
            Shape::Encapsulated { .. } => self.handover.note_trial_passed(),
            Shape::Plain => self.record.answered_after(now.saturating_sub(probe.sent_at)),
        }
        self.path_liveness.answered(now, probe.sent_at, condition);
        self.handover.hear(condition.handover);
        self.clear(probe.sent_at);
        true
    }

    /// The node probed this one, and said this. Only an answer shows that the path to it is open.
    pub(crate) fn note_question(&mut self, handover: HandoverFlags) {
        if self.path_liveness.state() == PathState::Up {
            self.handover.hear(handover);
        }
    }

    pub(crate) fn take_refusal(&mut self, now: Now) {
        self.path_liveness.refused(now);
        self.handover.forget();
        self.clear(now);
    }

    /// What was sent before a sign of life says nothing of death.
    fn clear(&mut self, sent_until: Now) {
        for probe in self.outstanding.iter_mut().filter(|probe| probe.sent_at <= sent_until) {
            probe.missed_at = None;
        }
    }

    /// The node was held up: what is outstanding may have been answered.
    pub(crate) fn extend_deadline(&mut self, until: Now) {
        for missed_at in self.outstanding.iter_mut().filter_map(|probe| probe.missed_at.as_mut()) {
            *missed_at = (*missed_at).max(until);
        }
    }

    /// Does what is due by now; says whether a probe was missed.
    pub(crate) fn handle_timeout(&mut self, now: Now) -> bool {
        let mut is_missed = false;
        for probe in &mut self.outstanding {
            if probe.missed_at.is_some_and(|missed| missed <= now) {
                probe.missed_at = None;
                is_missed = true;
                self.path_liveness.missed(now, probe.sent_at);
            }
        }
        if self.path_liveness.state() != PathState::Up {
            self.handover.forget();
        }
        if is_missed && self.path_liveness.is_suspect() {
            self.probe_now(now);
        }
        while let Some(probe) =
            self.outstanding.front().filter(|probe| probe.lost_at() <= now && probe.missed_at.is_none())
        {
            match probe.shape {
                // The size is to blame only where plain probes are answered.
                Shape::Padded { ip_bytes } if self.path_liveness.state() == PathState::Up => self.mtu.failed(ip_bytes),
                Shape::Padded { .. } | Shape::Encapsulated { .. } => {}
                Shape::Plain => self.record.lost(),
            }
            self.outstanding.pop_front();
        }
        is_missed
    }
}
