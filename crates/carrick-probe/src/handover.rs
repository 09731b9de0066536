//! The prober's part of a handover: when traffic moves. See [`carrick_topology::handover`].
//!
//! - [`flags`]: what two gateways tell each other.
//! - [`peer`]: what one other gateway said, what this node has to tell it, and whether an encapsulated probe passed.
//! - [`postponement`]: how a gateway that returns puts the moment off until it is ready.
//! - [`schedule`]: at which moments a node accepts encapsulated packets, asks for them, and moves source addresses.
//! - [`Handovers`]: all handovers of this node together.

mod flags;
mod peer;
mod postponement;
mod schedule;

use std::collections::BTreeSet;
use std::time::Duration;

use carrick_topology::NodeName;
use carrick_topology::handover::HandoverInForce;

use crate::Now;
use crate::failure_detector::{Direction, Move};
pub use flags::HandoverFlags;
pub(crate) use peer::{HandoverPeer, PeerObservation, Urgency};
pub(crate) use postponement::{Postponement, Preparation};
use schedule::{EncapsulatingSenders, Lead, Schedule};

/// The handovers of one node.
#[derive(Debug, Default)]
pub(crate) struct Handovers {
    in_force: HandoverInForce,
    schedule: Schedule,
    returning: BTreeSet<NodeName>,
    draining: BTreeSet<NodeName>,
    asks: bool,
    next_deadline: Option<Now>,
}

impl Handovers {
    /// What the kernel holds; says whether that is new.
    pub(crate) fn set_in_force(&mut self, in_force: HandoverInForce) -> bool {
        let is_new = in_force != self.in_force;
        self.in_force = in_force;
        is_new
    }

    /// Takes what other gateways said last. `round` is the time in which this node probes each gateway once.
    pub(crate) fn set_schedule(&mut self, said: impl Fn(&NodeName) -> HandoverFlags, round: Duration) {
        let senders = EncapsulatingSenders::by(self.in_force.decapsulates_from.iter().map(said));
        self.schedule = Schedule::new(senders, round);
    }

    /// How much later than the nodes of its own location this node treats a gateway of another location as live again.
    pub(crate) const fn far_delay(&self) -> Duration {
        self.schedule.far_delay()
    }

    /// Evaluates where the moves of traffic stand now.
    pub(crate) fn evaluate<'a>(&mut self, now: Now, moves: impl Iterator<Item = (&'a NodeName, Move)>) {
        let (returning, draining) = (std::mem::take(&mut self.returning), std::mem::take(&mut self.draining));
        (self.asks, self.next_deadline) = (false, None);
        for (name, progress) in moves {
            let (before, moving) = match progress.direction {
                Direction::To => (&returning, &mut self.returning),
                Direction::From => (&draining, &mut self.draining),
            };
            let lead = if before.contains(name) { Lead::Begun } else { Lead::Ahead };
            let (accepting, asking) = (self.schedule.accepting(progress, lead), self.schedule.asking(progress, lead));
            if accepting.is_some_and(|window| window.contains(now)) {
                moving.insert(name.clone());
            }
            self.asks |= asking.is_some_and(|window| window.contains(now));
            let edges = [accepting, asking].into_iter().flatten().flat_map(|window| window.edges());
            self.next_deadline = edges.chain(self.next_deadline).filter(|edge| *edge > now).min();
        }
    }

    /// Gateways that traffic returns to, as [`carrick_topology::handover::HandoverReport::returning`] means it.
    pub(crate) const fn returning(&self) -> &BTreeSet<NodeName> {
        &self.returning
    }

    /// Gateways that traffic leaves, as [`carrick_topology::handover::HandoverReport::draining`] means it.
    pub(crate) const fn draining(&self) -> &BTreeSet<NodeName> {
        &self.draining
    }

    /// When [`Self::evaluate`] has another result, if nothing happens before.
    pub(crate) const fn next_deadline(&self) -> Option<Now> {
        self.next_deadline
    }

    /// What this node has to tell another one.
    pub(crate) fn flags_for(&self, node: &NodeName) -> HandoverFlags {
        let when = |holds, flag| if holds { flag } else { HandoverFlags::NONE };
        let encapsulates = when(self.in_force.encapsulates_to.contains(node), HandoverFlags::ENCAPSULATES);
        let decapsulates =
            when(self.asks && self.in_force.decapsulates_from.contains(node), HandoverFlags::DECAPSULATES);
        encapsulates | decapsulates
    }

    /// Whether encapsulated probes can be sent to a node.
    pub(crate) fn leads_to(&self, node: &NodeName) -> bool {
        self.in_force.leads_to.contains(node)
    }
}

#[cfg(test)]
mod tests;
