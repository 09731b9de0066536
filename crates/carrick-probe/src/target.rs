//! One node that is probed.

use std::collections::VecDeque;
use std::time::Duration;

use carrick_topology::NodeName;
use carrick_topology::plan::ProbeTarget;

use crate::Now;
use crate::judgement::Testimony;
use crate::packet::{Condition, Copying, Hearing};
use crate::path::{Path, PathState};
use crate::path_mtu::PathMtu;
use crate::pulse::Pulse;
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
    pulse: Pulse,
    record: Record,
    mtu: PathMtu,
    /// The probe that is due is a padded one.
    padded_next: bool,
    plain_since_look: u32,
}

#[derive(Clone, Copy, Debug)]
struct Outstanding {
    sequence: u64,
    sent_at: Now,
    /// When it counts as missed; `None` where it already does, or where it is padded, which says nothing of life.
    missed_at: Option<Now>,
    ip_bytes: Option<u32>,
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
            pulse: Pulse::default(),
            record: Record::default(),
            padded_next: false,
            plain_since_look: 0,
        }
    }

    pub(crate) const fn wanted(&self) -> &ProbeTarget {
        &self.wanted
    }

    /// Whether it is about to be told whether it is down.
    pub(crate) fn is_suspect(&self) -> bool {
        self.pulse.is_suspect()
    }

    /// Its turn comes now.
    pub(crate) fn hasten(&mut self, now: Now) {
        self.next_probe = self.next_probe.min(now);
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

    pub(crate) fn testimony<'a>(&'a self, node: &'a NodeName) -> Testimony<'a> {
        Testimony {
            node,
            location: &self.wanted.location,
            kind: self.wanted.kind,
            state: self.pulse.state(),
            hearing: self.pulse.hearing(),
            falls: self.pulse.falls(),
            heard_from: self.pulse.heard_from(),
            silent_from: self.pulse.silent_from(),
            well_since: self.pulse.well_since(),
            deaf_since: self.pulse.deaf_since(self.wanted.kind.other_side()),
        }
    }

    /// Whether it said that it copies.
    pub(crate) const fn copying(&self) -> Copying {
        self.pulse.copying()
    }

    /// What the judgement depends on.
    pub(crate) fn evidence(&self) -> (PathState, Hearing) {
        (self.pulse.state(), self.pulse.hearing())
    }

    /// The size that was found, where it is less than devices permit.
    pub(crate) fn narrow_mtu(&self) -> Option<u32> {
        self.mtu.found().filter(|found| *found < self.wanted.device_mtu)
    }

    pub(crate) fn path(&self, to: &NodeName) -> Path {
        Path {
            to: to.clone(),
            location: self.wanted.location.clone(),
            kind: self.wanted.kind,
            address: self.wanted.to,
            state: self.pulse.state(),
            sent: self.record.sent,
            answered: self.record.answered,
            loss: self.record.loss(),
            round_trip: self.record.round_trip(),
            histogram: self.record.histogram.clone(),
            mtu: self.mtu.found(),
        }
    }

    /// Notes that a probe goes out now, and gives its size if it must be padded. Suspects are asked again after `shortest`, others
    /// after `interval`.
    pub(crate) fn send(&mut self, now: Now, sequence: u64, shortest: Duration, interval: Duration) -> Option<u32> {
        let ip_bytes = self.padded_next.then(|| self.mtu.size());
        self.padded_next = false;
        let missed_at = match ip_bytes {
            Some(_) => None,
            None => {
                self.record.sent += 1;
                self.plain_since_look += 1;
                let median = self.record.median().unwrap_or_default();
                Some(now + shortest.max(median * 2).min(LOST_AFTER))
            }
        };
        self.outstanding.push_back(Outstanding { sequence, sent_at: now, missed_at, ip_bytes });
        let is_due = !self.mtu.is_settled() || self.plain_since_look >= PROBES_BETWEEN_LOOKS;
        let is_trying = self.outstanding.iter().any(|probe| probe.ip_bytes.is_some());
        if ip_bytes.is_none() && is_due && !is_trying && self.pulse.state() == PathState::Up {
            self.padded_next = true;
            self.plain_since_look = 0;
            self.next_probe = now;
        } else {
            self.next_probe = now + if self.pulse.is_suspect() { shortest } else { interval };
        }
        ip_bytes
    }

    /// Takes an answer; says whether it belongs to a probe that waits for one.
    pub(crate) fn take_answer(&mut self, now: Now, sequence: u64, condition: Condition) -> bool {
        let Some(position) = self.outstanding.iter().position(|probe| probe.sequence == sequence) else { return false };
        let Some(probe) = self.outstanding.remove(position) else { return false };
        match probe.ip_bytes {
            Some(size) => self.mtu.passed(size),
            None => self.record.answered_after(now.saturating_sub(probe.sent_at)),
        }
        self.pulse.answered(now, probe.sent_at, condition);
        self.clear(probe.sent_at);
        true
    }

    pub(crate) fn take_refusal(&mut self, now: Now) {
        self.pulse.refused(now);
        self.clear(now);
    }

    /// What was sent before a sign of life says nothing of death.
    fn clear(&mut self, sent_until: Now) {
        for probe in self.outstanding.iter_mut().filter(|probe| probe.sent_at <= sent_until) {
            probe.missed_at = None;
        }
    }

    /// The node was held up: what is outstanding may have been answered.
    pub(crate) fn forbear(&mut self, until: Now) {
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
                self.pulse.missed(now, probe.sent_at);
            }
        }
        if is_missed && self.pulse.is_suspect() {
            self.hasten(now);
        }
        while let Some(probe) =
            self.outstanding.front().filter(|probe| probe.lost_at() <= now && probe.missed_at.is_none())
        {
            match probe.ip_bytes {
                // The size is to blame only where plain probes are answered.
                Some(size) if self.pulse.state() == PathState::Up => self.mtu.failed(size),
                Some(_) => {}
                None => self.record.lost(),
            }
            self.outstanding.pop_front();
        }
        is_missed
    }
}
